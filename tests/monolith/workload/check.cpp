#include "check.hpp"

#include <algorithm>
#include <functional>
#include <unordered_map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "session.hpp"

namespace monolith {
namespace {

// What may be found for one key: the last acknowledged write, and writes in doubt behind it.
struct Key {
    std::uint32_t first; // records [first, end); records[first] is acknowledged, or all are in doubt
    std::uint32_t end;
    bool foreign; // a row that was there before: without an acknowledged write anything may be found
    bool seen = false;
};

// Evidence about transactions in doubt, to be the same in every table and on every side.
struct Evidence {
    bool committed = false;
    bool not_committed = false;
};

class Checker {
public:
    Checker(CheckOptions const& options, Ledger const& ledger)
        : options_{options}
        , ledger_{ledger}
        , session_{options.dsn, Resolver{options.shared_schema, options.services, false}, false, 0,
                   "workload-check"} {}

    int run() {
        session_.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        for (auto const& [service, dsn] : options_.databases) {
            auto& away = away_.try_emplace(service, dsn, Resolver{options_.shared_schema, options_.services, false}, false, 0, "workload-check").first->second;
            away.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        }
        for (auto const& run : ledger_.runs) {
            tenants_.push_back(std::to_string(run.tenant));
        }
        std::size_t at = 0;
        for (auto const& table : all_tables()) {
            auto const begin = at;
            while (at < ledger_.records.size() && ledger_.records[at].table == table.id) {
                ++at;
            }
            if (options_.skip.count(table.name) == 0) {
                group(table, begin, at);
                check_sides(table);
            }
        }
        check_half_transactions();
        for (auto const& run : ledger_.runs) {
            check_money(run);
        }
        session_.run("COMMIT");
        fmt::print("{} acknowledged transactions, {} rows checked, {} lost, {} invented",
                   ledger_.acknowledged, rows_, lost_, invented_);
        fmt::print("{}{}\n", ledger_.in_doubt > 0 ? fmt::format(", {} in doubt", ledger_.in_doubt) : "",
                   unbalanced_ > 0 ? fmt::format(", {} sums of money are wrong", unbalanced_) : "");
        return lost_ + invented_ + unbalanced_ == 0 ? 0 : 1;
    }

private:
    [[nodiscard]] bool acknowledged(Record const& r) const {
        return ledger_.fates[r.transaction] == Fate::acknowledged;
    }

    // Groups a table's records by key, and looks at their versions.
    void group(TableSpec const& table, std::size_t begin, std::size_t end) {
        keys_.clear();
        auto const& records = ledger_.records;
        for (auto i = begin; i < end;) {
            auto const first = i;
            auto last = i; // the last acknowledged
            bool any = false;
            // Nobody's before: what a client ranks by itself, a first version, an audit row (always an insert).
            bool const foreign =
                records[i].rank_kind != 's' && records[i].rank > 1 && table.id != Table::audit_log;
            for (; i < end && records[i].key == records[first].key; ++i) {
                if (acknowledged(records[i])) {
                    last = i;
                    any = true;
                }
                if (i > first) {
                    check_versions(table, records[i - 1], records[i]);
                }
            }
            // Of the same rank and in doubt: was sent, but the acknowledged one got the version.
            keys_.emplace(records[first].key, Key{static_cast<std::uint32_t>(any ? last : first),
                                                  static_cast<std::uint32_t>(i), foreign});
        }
    }

    void check_versions(TableSpec const& table, Record const& before, Record const& after) {
        if (before.rank_kind != 'v' || after.rank_kind != 'v') {
            return;
        }
        if (before.rank == after.rank && acknowledged(before) && acknowledged(after)) {
            finding(lost_, table, "", after.key,
                    fmt::format("an update was lost: version {} was acknowledged twice", after.rank));
        } else if (after.rank > before.rank + 1) {
            finding(invented_, table, "", after.key,
                    fmt::format("versions {} to {} were written by nobody", before.rank + 1, after.rank - 1));
        }
    }

    void check_sides(TableSpec const& table) {
        auto const away = away_.find(table.service);
        std::vector<std::pair<Session*, std::string>> sides = {
            {away == away_.end() ? &session_ : &away->second, session_.resolver().schema_of(table.service)}};
        auto const also = options_.also.find(table.service);
        if (also != options_.also.end()) {
            for (auto const& schema : also->second) {
                sides.emplace_back(&session_, schema);
            }
        }
        for (auto const& [session, schema] : sides) {
            for (auto& entry : keys_) {
                entry.second.seen = false;
            }
            scan(*session, table, schema);
            for (auto& entry : keys_) {
                if (!entry.second.seen) {
                    absent(table, schema, entry.second);
                }
            }
        }
    }

    // Reads the side's rows through a cursor: a row of our tenants, or one that the ledger names.
    void scan(Session& session, TableSpec const& table, std::string const& schema) {
        auto const& foreign = ledger_.foreign_keys.empty()
                                  ? no_keys_
                                  : ledger_.foreign_keys[static_cast<std::size_t>(table.id)];
        std::string keys = "{";
        for (auto const& key : foreign) {
            keys += (keys.size() > 1 ? "," : "") + quoted(key);
        }
        keys += '}';
        session.run(
            fmt::format(
                "DECLARE c NO SCROLL CURSOR FOR SELECT coalesce(({0}) = ANY ($1::integer[]), false), {1} "
                "FROM {2}.{3} "
                "WHERE ({0}) = ANY ($1::integer[]) OR {4} IN (SELECT k::{5} FROM unnest($2::text[]) k)",
                table.scope, table.columns(), quoted(schema), quoted(table.name), table.key.front(),
                table.key_type),
            args(array(tenants_), keys));
        for (;;) {
            auto const rows = session.run("FETCH 5000 FROM c");
            if (rows.empty()) {
                break;
            }
            for (int row = 0; row < rows.size(); ++row) {
                check_row(table, schema, rows, row);
            }
        }
        session.run("CLOSE c");
    }

    void check_row(TableSpec const& table, std::string const& schema, Rows const& rows, int row) {
        std::string text;
        RowHash content;
        auto const keys = static_cast<int>(table.key.size());
        for (int c = 1; c < rows.width(); ++c) {
            if (c <= keys) {
                text += (c == 1 ? "" : "/") + rows.text(row, c);
            } else {
                content.add(rows.is_null(row, c) ? std::nullopt : std::optional{rows.at(row, c)});
            }
        }
        auto const at = keys_.find(hash_text(text));
        if (at == keys_.end()) {
            if (rows.at(row, 0) == "t") { // a row of ours that the ledger does not know
                ++rows_;
                finding(invented_, table, schema, text, "nobody wrote this row");
            }
            return;
        }
        ++rows_;
        auto& key = at->second;
        if (key.seen) {
            finding(invented_, table, schema, text, "is there twice");
        }
        key.seen = true;
        present(table, schema, key, text, content.value());
    }

    void present(TableSpec const& table, std::string const& schema, Key const& key, std::string const& text,
                 std::uint64_t content) {
        auto const& records = ledger_.records;
        for (auto i = key.end; i > key.first; --i) { // newest first
            if (records[i - 1].content == content) {
                happened(key, i - 1);
                return;
            }
        }
        auto const& expected = records[key.first];
        if (!acknowledged(expected)) {
            if (key.foreign) { // its state before the writes in doubt is not known to us
                none_happened(key);
                return;
            }
            finding(invented_, table, schema, text, "differs from the only write, which is in doubt");
        } else if (expected.content == 0) {
            finding(invented_, table, schema, text, "was deleted, and is there");
        } else {
            finding(lost_, table, schema, text,
                    fmt::format("differs from its last acknowledged write ({}{})", expected.rank_kind,
                                expected.rank));
        }
    }

    void absent(TableSpec const& table, std::string const& schema, Key const& key) {
        auto const& records = ledger_.records;
        for (auto i = key.end; i > key.first; --i) {
            if (records[i - 1].content == 0) {
                happened(key, i - 1);
                return;
            }
        }
        if (!acknowledged(records[key.first]) && !key.foreign) {
            none_happened(key); // the insert is in doubt
            return;
        }
        finding(lost_, table, schema, records[key.first].key, "is missing");
    }

    // The database is in the state which record `at` left: what is in doubt before it stands, what comes
    // after does not.
    void happened(Key const& key, std::uint32_t at) {
        for (auto i = key.first; i < key.end; ++i) {
            auto const& r = ledger_.records[i];
            if (acknowledged(r)) {
                continue;
            }
            if (i == at) {
                auto const same =
                    std::count_if(ledger_.records.begin() + key.first, ledger_.records.begin() + key.end,
                                  [&r](Record const& o) { return o.content == r.content; });
                if (same == 1) { // otherwise another write left the same values
                    evidence_[r.transaction].committed = true;
                }
            } else if (r.rank >= ledger_.records[at].rank && r.content != ledger_.records[at].content) {
                evidence_[r.transaction].not_committed = true;
            }
        }
    }

    void none_happened(Key const& key) {
        for (auto i = key.first; i < key.end; ++i) {
            evidence_[ledger_.records[i].transaction].not_committed = true;
        }
    }

    void check_half_transactions() {
        for (auto const& [transaction, e] : evidence_) {
            if (e.committed && e.not_committed) {
                ++lost_;
                if (reported_++ < options_.max_report) {
                    fmt::print("lost: transaction in doubt {} is there by half\n", transaction);
                }
            }
        }
    }

    void check_money(Run const& run) {
        auto const sums = session_.run(
            "SELECT (SELECT coalesce(sum(balance), 0) FROM {ledger_accounts} WHERE tenant_id = $1), "
            "(SELECT coalesce(sum(balance), 0) FROM {ledger_accounts} WHERE tenant_id = $1 AND kind = "
            "'merchant'), "
            "(SELECT coalesce(sum(paid_amount), 0) FROM {orders} WHERE tenant_id = $1)",
            args(run.tenant));
        auto const expect = [&](std::string const& what, std::string_view found, std::string_view expected) {
            // compared by the server, as numbers
            if (session_.run("SELECT $1::numeric = $2::numeric", args(found, expected)).at(0, 0) != "t") {
                ++unbalanced_;
                fmt::print("money: {} of tenant {} is {}, not {}\n", what, run.tenant, found, expected);
            }
        };
        expect("the sum of all accounts", sums.at(0, 0), run.total);
        expect("the sum of orders.paid_amount", sums.at(0, 2), sums.at(0, 1));
    }

    void finding(std::uint64_t& counter, TableSpec const& table, std::string_view schema, std::uint64_t key,
                 std::string const& what) {
        std::string text;
        if (reported_ < options_.max_report) {
            text = find_keys(options_.ledgers, table.id, {key}).front();
        }
        finding(counter, table, schema, text, what);
    }

    void finding(std::uint64_t& counter, TableSpec const& table, std::string_view schema,
                 std::string_view key, std::string const& what) {
        ++counter;
        if (reported_++ < options_.max_report) {
            fmt::print("{}: {}{}{} {}: {}\n", &counter == &lost_ ? "lost" : "invented", schema,
                       schema.empty() ? "" : ".", table.name, key, what);
        }
    }

    CheckOptions const& options_;
    Ledger const& ledger_;
    Session session_;
    std::map<std::string, Session> away_; // by service
    std::vector<std::string> tenants_;
    std::vector<std::string> const no_keys_;
    std::unordered_map<std::uint64_t, Key> keys_; // of the table at hand
    std::unordered_map<std::uint32_t, Evidence> evidence_;
    std::uint64_t rows_ = 0;
    std::uint64_t lost_ = 0;
    std::uint64_t invented_ = 0;
    std::uint64_t unbalanced_ = 0;
    int reported_ = 0;
};

} // namespace

int check_database(CheckOptions const& options) {
    auto const ledger = read_ledgers(options.ledgers);
    return Checker{options, ledger}.run();
}

} // namespace monolith
