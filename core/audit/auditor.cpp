#include "audit/auditor.hpp"

#include <algorithm>
#include <chrono>
#include <deque>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "audit/doubts.hpp"
#include "base/error.hpp"
#include "wire/decoder.hpp"

namespace pgcarve::audit {

using base::Error;
using base::Exit;

namespace {

using Clock = std::chrono::steady_clock;

constexpr base::Millis decide_every{50};
constexpr std::size_t decide_at_once = 256;
constexpr base::Millis store_every{1'000};
constexpr base::Millis status_every{5'000};
constexpr base::Millis ask_every{200};
constexpr base::Millis mark_every{1'000};
constexpr base::Millis stop_within{2'000};
constexpr base::Millis snapshot_patience{2'000};
constexpr std::size_t remembered_rows = 10'000; // of differences, to notice when they are equal again
constexpr std::size_t kept_equal = 100'000;     // rows of a transaction that waits for an earlier one

std::string iso(wire::Timestamp time) {
    auto const micros = time.unix_micros();
    auto const seconds = static_cast<std::time_t>(micros / 1'000'000);
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z", fmt::gmtime(seconds), micros % 1'000'000);
}

bool covers(std::vector<bool> const& written, Judgement const& difference) {
    return std::ranges::all_of(difference.columns, [&](std::size_t column) { return column < written.size() && written[column]; });
}

} // namespace

struct Auditor::Impl {
    Settings const settings;
    Plan const plan;
    pg::Replication connection;
    std::optional<wire::Decoder> decoder;
    Collector collector;
    Ledger ledger;
    Doubts doubts;
    Events const* events = nullptr;

    base::Lsn const from;
    base::Lsn processed;  // everything that committed before it has been taken
    base::Lsn stored;     // and everything before this judged, told and stored
    base::Lsn received{}; // that the server has sent
    wire::Begin open{};
    bool skipping = false;
    Ledger::Number number = 0;
    std::deque<std::shared_ptr<Judged>> judged; // in their order; the first may be in doubt

    // Rows that differ, each with the transactions that left them so.
    struct Broken {
        base::Lsn commit;
        wire::Timestamp time;
        Judgement judgement;
    };
    std::unordered_multimap<RowId, Broken, RowIdHash> broken;
    std::unordered_map<std::uint64_t, std::size_t> broken_rows; // of a difference, by its commit: how many are not equal again

    // What waits to be stored.
    std::vector<model::AuditDifference> differences;
    std::vector<model::AuditEqual> equal;
    Progress unstored;

    model::AuditSummary totals;
    Clock::time_point last_decided = Clock::now();
    Clock::time_point last_stored = Clock::now();
    Clock::time_point last_status = Clock::now();
    Clock::time_point last_asked = Clock::now();
    Clock::time_point last_marked = Clock::now();

    Impl(Settings wanted, Plan pairs, std::function<std::optional<Home>(base::Oid)> home_of, base::Lsn position)
        : settings{std::move(wanted)}
        , plan{std::move(pairs)}
        , connection{settings.stream}
        , collector{plan, settings.transaction, std::move(home_of)}
        , doubts{settings.shared, plan, ledger, [this](Judged& t, RowId const& id, Judgement const& j, std::vector<bool> const& w) { decide(t, id, j, w); },
                 [this](Judged& t, RowId const& id) { give_up(t, id); }}
        , from{position}
        , processed{position}
        , stored{position} {
        totals.service = settings.service;
        totals.from = position;
        auto const terms = connection.start({.slot = settings.slot, .start = position, .publications = {settings.slot}, .messages = false});
        decoder.emplace(terms.negotiated);
    }

    // ---- the stream

    void take(wire::Frame const& frame) {
        if (auto const* const alive = std::get_if<wire::Keepalive>(&frame)) {
            received = std::max(received, alive->end);
            if (!decoder->in_transaction())
                processed = std::max(processed, alive->end);
            if (alive->reply_requested)
                status();
            return;
        }
        auto const& data = std::get<wire::XLogData>(frame);
        received = std::max(received, data.end);
        std::visit([this](auto const& m) { on(m); }, decoder->decode(data.payload));
    }

    void on(wire::Begin const& m) {
        open = m;
        skipping = m.final_lsn < from;
        collector.begin();
    }

    void on(wire::Commit const& m) {
        if (!skipping && !collector.empty())
            judge_transaction(m);
        collector.begin();
        processed = std::max(processed, m.end_lsn);
    }

    void on(wire::Relation const& m) { collector.take(m); }
    void on(wire::Insert const& m) { change(m); }
    void on(wire::Update const& m) { change(m); }
    void on(wire::Delete const& m) { change(m); }
    void on(wire::Truncate const& m) { change(m); }
    void on(wire::Origin const&) {}
    void on(wire::Type const&) {}
    template <class Other>
    void on(Other const&) {
        throw Error{Exit::bug, "protocol", "the stream has a message that was not asked for", "please report this"};
    }

    template <class Change>
    void change(Change const& m) {
        if (skipping)
            return;
        collector.take(m);
        beat();
    }

    // ---- judging

    void judge_transaction(wire::Commit const& m) {
        auto const transaction = std::make_shared<Judged>();
        transaction->number = ++number;
        transaction->xid = open.xid;
        transaction->commit = open.final_lsn;
        transaction->end = m.end_lsn;
        transaction->time = m.commit_time;
        totals.changes += static_cast<std::int64_t>(collector.changes());
        bool const spilled = collector.spilled();
        bool first = true;
        collector.finish([&](Net& net) {
            doubts.written(net, transaction->xid);
            judge_rows(net, transaction);
            if (std::exchange(first, false))
                note_truncations(net, *transaction);
            if (!spilled)
                ledger.take(net, transaction->number);
            else if (doubts.size() > decide_at_once)
                doubts.resolve(processed);
            beat();
        });
        if (spilled)
            ledger.forget(transaction->number);
        doubts.taken(transaction->xid, transaction->number);
        judged.push_back(transaction);
        if (!transaction->emptied.empty())
            judge_truncations(*transaction);
    }

    void judge_rows(Net& net, std::shared_ptr<Judged> const& transaction) {
        std::vector<std::vector<bool>> written; // in the order of the rows
        written.reserve(net.rows().size());
        for (auto const& [id, state] : net.rows())
            written.push_back(written_columns(state, plan.tables[id.table].columns.size()));
        ledger.fill(net);
        std::size_t at = 0;
        for (auto const& [id, state] : net.rows()) {
            auto& columns = written[at++];
            auto const judgement = judge(state, columns);
            if (judgement.outcome != Outcome::open)
                decide(*transaction, id, judgement, columns);
            else if (doubts.size() < settings.rows_in_doubt)
                doubts.add(transaction, id, state, std::move(columns));
            else
                give_up(*transaction, id);
        }
    }

    // A table that was emptied on one side only is looked at as a whole.
    static void note_truncations(Net const& net, Judged& transaction) {
        for (auto const& [table, truncated] : net.truncations()) {
            for (auto const side : both) {
                auto const& one = truncated[index(side)];
                auto const& two = truncated[index(other(side))];
                if ((one.whole && !two.whole) || (one.any() && !two.any())) {
                    transaction.emptied.emplace_back(table, side);
                    break;
                }
            }
        }
    }

    void judge_truncations(Judged& transaction) {
        doubts.resolve(processed);
        auto* const look = doubts.after(transaction.xid, snapshot_patience);
        for (auto const& [table, side] : transaction.emptied) {
            bool more = false;
            try {
                if (look == nullptr)
                    throw pg::SqlError{std::string{pg::sqlstate::query_canceled}, "no snapshot", ""};
                more = look->has_more(plan.tables[table], other(side));
            } catch (pg::SqlError const& e) {
                if (e.sqlstate() != pg::sqlstate::query_canceled)
                    throw;
                give_up(transaction, {table, {}});
                continue;
            }
            if (!more)
                continue;
            transaction.truncated = true;
            ++transaction.rows;
            Judgement judgement{Outcome::different, side == Side::shared ? model::FindingKind::extra : model::FindingKind::missing, {}, {}};
            transaction.different.push_back({{table, {}}, judgement, {}});
        }
    }

    void decide(Judged& transaction, RowId const& id, Judgement const& judgement, std::vector<bool> const& written) {
        if (judgement.outcome == Outcome::different) {
            ++transaction.rows;
            if (transaction.different.size() < settings.samples)
                transaction.different.push_back({id, judgement, written});
            return;
        }
        // Nobody asks when nothing differs, now or in a transaction that is still in doubt.
        bool const first = judged.empty() || judged.front().get() == &transaction;
        if ((!broken.empty() || !first) && transaction.equal.size() < kept_equal && (!first || broken.contains(id)))
            transaction.equal.emplace_back(id, written);
    }

    void give_up(Judged& transaction, RowId const& id) {
        ++transaction.undecided;
        auto const& table = plan.tables[id.table];
        events->undecided(fmt::format("transaction {} at {}: {} {} could not be judged: it was written again before it could be looked at", transaction.xid.value,
                                      transaction.commit.text(), table.names[index(Side::shared)].display(), id.key.empty() ? "(the table)" : key_text(table, id.key)));
    }

    static std::string key_text(TablePlan const& table, Key const& key) {
        std::string out;
        auto const values = key_values(key);
        for (std::size_t i = 0; i < values.size(); ++i)
            out += fmt::format("{}{}={}", i > 0 ? ", " : "", table.key[i].name, values[i]);
        return out;
    }

    // ---- telling

    model::AuditRow row_of(Judged::Row const& row, bool service_is_authority) const {
        auto const& table = plan.tables[row.id.table];
        auto const authority = service_is_authority ? Side::service : Side::shared;
        model::AuditRow out{table.names[index(authority)], table.names[index(other(authority))], {}};
        auto kind = row.judgement.kind;
        if (service_is_authority && kind != model::FindingKind::different)
            kind = kind == model::FindingKind::missing ? model::FindingKind::extra : model::FindingKind::missing;
        out.finding.kind = kind;
        if (!row.id.key.empty()) {
            auto const values = key_values(row.id.key);
            for (std::size_t i = 0; i < values.size(); ++i)
                out.finding.key.emplace_back(table.key[i].name, values[i]);
        }
        for (auto const column : row.judgement.columns)
            out.finding.columns.push_back(table.columns[column]);
        return out;
    }

    // The transactions that are judged, from the first on.
    void collect() {
        while (!judged.empty() && judged.front()->open == 0) {
            auto const transaction = judged.front();
            judged.pop_front();
            for (auto const& [id, written] : transaction->equal)
                mend(*transaction, id, written);
            ++unstored.transactions;
            unstored.undecided += transaction->undecided;
            unstored.position = transaction->end;
            if (transaction->rows > 0)
                break_up(*transaction);
        }
        if (judged.empty())
            unstored.position = std::max(unstored.position, processed);
    }

    void break_up(Judged const& transaction) {
        model::AuditDifference one;
        one.xid = transaction.xid.value;
        one.commit_lsn = transaction.commit;
        one.committed_at = iso(transaction.time);
        one.rows = transaction.rows;
        one.truncated = transaction.truncated;
        bool const service_is_authority = settings.service_is_authority();
        for (auto const& row : transaction.different)
            one.samples.push_back(row_of(row, service_is_authority));
        // Only what is known as a whole can be seen to be equal again.
        if (!transaction.truncated && static_cast<std::int64_t>(transaction.different.size()) == transaction.rows && broken.size() < remembered_rows) {
            broken_rows[transaction.commit.value] = transaction.different.size();
            for (auto const& row : transaction.different)
                broken.emplace(row.id, Broken{transaction.commit, transaction.time, row.judgement});
        }
        differences.push_back(std::move(one));
    }

    void mend(Judged const& transaction, RowId const& id, std::vector<bool> const& written) {
        auto const [first, last] = broken.equal_range(id);
        for (auto at = first; at != last;) {
            if (!covers(written, at->second.judgement)) {
                ++at;
                continue;
            }
            auto const commit = at->second.commit;
            auto const seconds = static_cast<double>(transaction.time.micros - at->second.time.micros) / 1e6;
            at = broken.erase(at);
            auto const left = broken_rows.find(commit.value);
            if (left != broken_rows.end() && --left->second == 0) {
                broken_rows.erase(left);
                equal.push_back({commit, transaction.xid.value, transaction.commit, iso(transaction.time), seconds});
            }
        }
    }

    void store(pg::Session& control, bool now) {
        collect();
        bool const found = !differences.empty() || !equal.empty();
        bool const due = now || Clock::now() - last_stored >= store_every;
        if (!found && !(due && unstored.transactions > 0)) {
            // Nothing of ours: the position moves on without a write, which would be log again.
            if (unstored.transactions == 0)
                stored = std::max(stored, unstored.position);
            return;
        }
        last_stored = Clock::now();
        Store store{control};
        unstored.position = std::max(unstored.position, stored);
        store.record(settings.service, differences, equal, unstored);
        stored = unstored.position;
        totals.transactions += unstored.transactions;
        totals.undecided += unstored.undecided;
        totals.differences += static_cast<std::int64_t>(differences.size());
        totals.equal_again += static_cast<std::int64_t>(equal.size());
        for (auto const& one : differences)
            events->difference(one);
        for (auto const& one : equal)
            events->equal(one);
        store.told(differences);
        differences.clear();
        equal.clear();
        unstored = Progress{stored, 0, 0};
        status();
    }

    void status(bool ask = false) {
        last_status = Clock::now();
        connection.send_status(received, std::min(stored, received), std::min(stored, received), ask);
    }

    void beat() {
        if (Clock::now() - last_status >= status_every)
            status();
    }

    // ---- what was found before

    void remember(pg::Session& control) {
        for (auto const& one : Store{control}.open(settings.service, static_cast<int>(remembered_rows / settings.samples))) {
            if (one.truncated || static_cast<std::int64_t>(one.samples.size()) != one.rows)
                continue;
            std::vector<std::pair<RowId, Broken>> rows;
            for (auto const& sample : one.samples) {
                auto const table = std::ranges::find_if(plan.tables, [&](TablePlan const& t) {
                    return (t.names[0] == sample.source && t.names[1] == sample.target) || (t.names[1] == sample.source && t.names[0] == sample.target);
                });
                if (table == plan.tables.end())
                    continue;
                RowId id{static_cast<std::uint32_t>(table - plan.tables.begin()), {}};
                for (auto const& [column, value] : sample.finding.key)
                    append_key(id.key, value.value_or(""));
                Judgement judgement{Outcome::different, sample.finding.kind, {}, {}};
                for (auto const& name : sample.finding.columns)
                    judgement.columns.push_back(static_cast<std::size_t>(std::ranges::find(table->columns, name) - table->columns.begin()));
                rows.emplace_back(std::move(id), Broken{one.commit_lsn, timestamp(one.committed_at), judgement});
            }
            if (rows.size() != one.samples.size())
                continue; // a table of it is not audited any more
            broken_rows[one.commit_lsn.value] = rows.size();
            for (auto& [id, row] : rows)
                broken.emplace(std::move(id), std::move(row));
        }
    }

    static wire::Timestamp timestamp(std::string const& iso_text) {
        std::tm when{};
        int micros = 0;
        if (std::sscanf(iso_text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%6dZ", &when.tm_year, &when.tm_mon, &when.tm_mday, &when.tm_hour, &when.tm_min, &when.tm_sec, // NOLINT
                        &micros) != 7)
            base::bug("a time that cannot be read: " + iso_text);
        auto const day = std::chrono::sys_days{std::chrono::year{when.tm_year} / std::chrono::month{static_cast<unsigned>(when.tm_mon)} /
                                               std::chrono::day{static_cast<unsigned>(when.tm_mday)}};
        auto const seconds = day.time_since_epoch().count() * 86'400LL + when.tm_hour * 3600 + when.tm_min * 60 + when.tm_sec;
        return wire::Timestamp::from_unix_micros(seconds * 1'000'000LL + micros);
    }
};

Auditor::Auditor(Settings settings, Plan plan, std::function<std::optional<Home>(base::Oid)> home_of, base::Lsn from)
    : impl_{std::make_unique<Impl>(std::move(settings), std::move(plan), std::move(home_of), from)} {}

Auditor::~Auditor() = default;

bool Auditor::run(pg::Session& control, base::Interrupt& interrupt, base::Lsn end, Events const& events) {
    auto& self = *impl_;
    self.events = &events;
    self.remember(control);
    auto last_tick = Clock::now();
    for (;;) {
        bool const idle = self.doubts.size() == 0;
        if (auto const received = self.connection.poll(idle ? base::Millis{100} : base::Millis{10}))
            self.take(received->frame());
        auto const now = Clock::now();
        bool const between = !self.decoder->in_transaction();
        if (now - self.last_decided >= decide_every || self.doubts.size() >= decide_at_once) {
            self.last_decided = now;
            self.doubts.resolve(self.processed);
            self.doubts.renew(self.settings.look_every, self.settings.ledger_bytes / 4);
            self.store(control, false);
        }
        // A snapshot's position may be one that an idle server's log never passes by itself.
        if (self.doubts.waiting() && between && now - self.last_marked >= mark_every) {
            self.last_marked = now;
            static_cast<void>(Store{control}.mark());
        }
        bool const wait_for_more = self.doubts.waiting() || self.processed < end;
        if (wait_for_more && now - self.last_asked >= ask_every) {
            self.last_asked = now;
            self.status(true);
        }
        self.beat();
        if (interrupt.requested()) {
            self.store(control, true);
            return false;
        }
        if (between && self.processed >= end && self.judged.empty()) {
            self.store(control, true);
            return true;
        }
        if (now - last_tick >= store_every) {
            last_tick = now;
            events.tick(summary());
            if (events.enough()) {
                self.store(control, true);
                return false;
            }
        }
    }
}

void Auditor::stop() {
    impl_->status();
    impl_->connection.stop(stop_within);
}

model::AuditSummary Auditor::summary() const {
    auto summary = impl_->totals;
    summary.position = impl_->stored;
    return summary;
}

} // namespace pgcarve::audit
