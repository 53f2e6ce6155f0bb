#include "run/proof/across_repair.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include <fmt/format.h>

namespace pgcarve::run {

using base::Error;
using base::Exit;
using model::FindingKind;
using sql::Sql;
using verify::AcrossShape;
using verify::Key;
using verify::RepairReport;
using verify::Side;

namespace {

constexpr std::size_t batch_rows = 100;   // locked at a time
constexpr std::size_t max_rows = 200'000; // mended by one run
constexpr int rounds = 3;                 // rows that wait for what others hold get their turn again
constexpr std::size_t max_reasons = 10;
constexpr pg::LockPolicy locks{.lock_timeout = base::Millis{250}};
constexpr pg::LockPolicy briefly{.lock_timeout = base::Millis{250}, .tries = 3}; // while rows of the source are locked
constexpr base::Millis stream_within{1'000};                                     // the same
constexpr base::Millis catch_up_within{60'000};

struct Patient {
    std::optional<AcrossShape> shape;
    std::vector<Key> keys; // in the order of the shape's key
    std::vector<FindingKind> kinds;
    verify::TableRepair report;

    void because(std::string reason) {
        auto& reasons = report.reasons;
        if (reasons.size() < max_reasons && std::ranges::find(reasons, reason) == reasons.end())
            reasons.push_back(std::move(reason));
    }
};

// ---- statements; what is printed shows the key and no other value

void add_key_condition(Sql& q, AcrossShape const& shape, Key const& key, bool print) {
    for (std::size_t i = 0; i < shape.key.size(); ++i) {
        auto const& column = shape.columns[shape.key[i].column];
        q.add(i > 0 ? Sql::Fixed{" AND x."} : Sql::Fixed{" WHERE x."}).add(sql::Ident{column.name}).add(" ");
        verify::add_operator(q, shape.key[i].equal[Side::target]);
        q.add(" ");
        if (print)
            q.literal(key[i]);
        else
            q.bind(key[i]);
        q.add("::").server_text(column.type[Side::target]);
    }
}

using Values = std::vector<std::optional<std::string>>; // of all columns; empty to print

void add_value(Sql& q, AcrossShape const& shape, std::size_t column, Values const& values) {
    if (values.empty())
        q.add("…");
    else
        q.bind(values[column]).add("::").server_text(shape.columns[column].type[Side::target]);
}

Sql insert_row(AcrossShape const& shape, Key const& key, Values const& values) {
    Sql names;
    Sql row;
    bool first = true;
    for (std::size_t i = 0; i < shape.columns.size(); ++i) {
        if (shape.columns[i].generated)
            continue;
        auto const part = std::ranges::find(shape.key, i, &verify::AcrossKey::column);
        names.add(first ? Sql::Fixed{""} : Sql::Fixed{", "}).add(sql::Ident{shape.columns[i].name});
        row.add(first ? Sql::Fixed{""} : Sql::Fixed{", "});
        first = false;
        if (values.empty() && part != shape.key.end())
            row.literal(key[static_cast<std::size_t>(part - shape.key.begin())]);
        else
            add_value(row, shape, i, values);
    }
    Sql q{"INSERT INTO "};
    q.add(shape.table[Side::target]).add(" (").add(names).add(") OVERRIDING SYSTEM VALUE VALUES (");
    if (values.empty())
        return q.add(row).add(")");
    first = true;
    for (std::size_t i = 0; i < shape.columns.size(); ++i) {
        if (shape.columns[i].generated)
            continue;
        q.add(first ? Sql::Fixed{""} : Sql::Fixed{", "});
        first = false;
        add_value(q, shape, i, values);
    }
    return q.add(")");
}

Sql update_row(AcrossShape const& shape, Key const& key, std::vector<std::size_t> const& columns, Values const& values) {
    Sql q{"UPDATE "};
    q.add(shape.table[Side::target]).add(" AS x SET ");
    bool first = true;
    for (auto const i : columns) {
        if (shape.columns[i].generated)
            continue;
        q.add(first ? Sql::Fixed{""} : Sql::Fixed{", "}).add(sql::Ident{shape.columns[i].name}).add(" = ");
        first = false;
        add_value(q, shape, i, values);
    }
    add_key_condition(q, shape, key, values.empty());
    return q;
}

Sql delete_row(AcrossShape const& shape, Key const& key, bool print) {
    Sql q{"DELETE FROM "};
    q.add(shape.table[Side::target]).add(" AS x");
    add_key_condition(q, shape, key, print);
    return q;
}

Sql lock_rows(AcrossShape const& shape, Side side, std::vector<Key> const& keys) {
    Sql q{"SELECT w.n FROM "};
    verify::add_keys(q, shape, keys);
    q.add(" JOIN ").add(shape.table[side]).add(" AS x ON ");
    verify::add_key_matches(q, shape, side);
    return q.add(" ORDER BY w.n").add(side == Side::source ? Sql::Fixed{" FOR SHARE OF x"} : Sql::Fixed{" FOR UPDATE OF x"});
}

using Digests = std::map<long long, std::vector<std::string>>;

Digests read_digests(pg::Session& session, AcrossShape const& shape, Side side, std::vector<Key> const& keys) {
    Digests all;
    for (auto const row : session.query(verify::column_digests(shape, side, keys)))
        all[row.integer("n")] = row.array("columns");
    return all;
}

class Surgeon {
public:
    Surgeon(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs, verify::RepairEvents const& events)
        : context_{context}, route_{route}, pairs_{pairs}, events_{events}, moments_{context, route, mapping, {}, {}}, source_{route.source("repair")},
          target_{route.target("repair")}, writer_{route.source("repair")} {
        target_.run("SET pgcarve.mirror = 'on'"); // the lock on the follower lets pass what carries this mark
    }

    void treat(std::size_t number, Patient& patient) {
        auto open = std::move(patient.keys);
        for (int round = 0; round < rounds && !open.empty() && !interrupted(); ++round) {
            patient.report.reasons.clear();
            std::vector<Key> failed;
            for (std::size_t from = 0; from < open.size() && !interrupted(); from += batch_rows) {
                std::vector<Key> const some{open.begin() + static_cast<std::ptrdiff_t>(from),
                                            open.begin() + static_cast<std::ptrdiff_t>(std::min(open.size(), from + batch_rows))};
                batch(number, patient, some, failed);
            }
            if (failed.size() == open.size() && round > 0)
                break; // no turn helps
            open = std::move(failed);
        }
    }

private:
    [[nodiscard]] bool interrupted() const { return events_.compare.interrupted && events_.compare.interrupted(); }

    void waited(int attempt, std::vector<pg::Blocker> const& blockers) const {
        if (events_.on_wait)
            events_.on_wait(attempt, blockers);
    }

    void batch(std::size_t number, Patient& patient, std::vector<Key> const& keys, std::vector<Key>& failed) {
        auto const& shape = *patient.shape;
        auto const on_wait = [&](int attempt, std::vector<pg::Blocker> const& blockers) { waited(attempt, blockers); };
        verify::Changes changes;
        std::vector<Key> left;
        moments_.pass(sync::mark(writer_, "repair"), catch_up_within); // so that no lock waits for a stream that is behind
        std::int64_t equal = 0;
        pg::with_lock_retry(
            source_, locks, {shape.table[Side::source].quoted()},
            [&](pg::Transaction&) {
                source_.query(lock_rows(shape, Side::source, keys));
                // New statements, and so with what was committed before the locks were ours.
                auto const here = read_digests(source_, shape, Side::source, keys);
                std::vector<std::size_t> all;
                for (std::size_t i = 0; i < shape.columns.size(); ++i)
                    all.push_back(i);
                std::map<long long, Values> values;
                for (auto const row : source_.query(verify::read_columns(shape, Side::source, keys, all))) {
                    auto& of = values[row.integer("n")];
                    for (std::size_t i = 0; i < all.size(); ++i)
                        of.push_back(row.maybe(static_cast<int>(1 + i)));
                }
                moments_.pass(sync::mark(writer_, "repair"), stream_within);
                pg::with_lock_retry(
                    target_, briefly, {shape.table[Side::target].quoted()},
                    [&](pg::Transaction&) {
                        changes = {};
                        left.clear();
                        equal = 0;
                        target_.run("SET CONSTRAINTS ALL DEFERRED");
                        target_.query(lock_rows(shape, Side::target, keys));
                        auto const there = read_digests(target_, shape, Side::target, keys);
                        write(patient, keys, here, there, values, changes, left, equal);
                    },
                    on_wait);
            },
            on_wait);
        patient.report.add(changes);
        patient.report.found_equal += equal;
        failed.insert(failed.end(), left.begin(), left.end());
        if (events_.progress)
            events_.progress(pairs_[number].target.display(), static_cast<std::int64_t>(keys.size()));
    }

    void write(Patient& patient, std::vector<Key> const& keys, Digests const& here, Digests const& there, std::map<long long, Values> const& values,
               verify::Changes& changes, std::vector<Key>& left, std::int64_t& equal) {
        auto const& shape = *patient.shape;
        auto const attempt = [&](Key const& key, std::int64_t& counter, std::vector<Sql> const& statements) {
            target_.run("SAVEPOINT pgcarve_row");
            try {
                for (auto const& statement : statements)
                    target_.query(statement);
                target_.run("RELEASE SAVEPOINT pgcarve_row");
                ++counter;
            } catch (pg::SqlError const& e) {
                auto const kind = e.sqlstate().substr(0, 2);
                if (kind != "23" && kind != "22" && kind != "P0" && kind != "27")
                    throw;
                target_.run("ROLLBACK TO SAVEPOINT pgcarve_row");
                patient.because(e.message().substr(0, e.message().find('\n')));
                left.push_back(key);
            }
        };
        for (auto const* const pass : {"extra", "different", "missing"}) { // what others need first
            for (std::size_t i = 0; i < keys.size(); ++i) {
                auto const n = static_cast<long long>(i + 1);
                auto const source = here.find(n);
                auto const target = there.find(n);
                bool const is_here = source != here.end();
                bool const is_there = target != there.end();
                std::string_view const kind = !is_here ? (is_there ? "extra" : "") : !is_there ? "missing" : "different";
                if (kind.empty() || (kind == "different" && source->second == target->second)) {
                    equal += *pass == 'e' ? 1 : 0;
                    continue;
                }
                if (kind != pass)
                    continue;
                if (kind == "extra") {
                    attempt(keys[i], changes.deleted, {delete_row(shape, keys[i], false)});
                } else if (kind == "missing") {
                    attempt(keys[i], changes.inserted, {insert_row(shape, keys[i], values.at(n))});
                } else {
                    std::vector<std::size_t> columns;
                    bool identity = false;
                    bool settable = false;
                    for (std::size_t c = 0; c < shape.columns.size(); ++c) {
                        if (source->second[c] == target->second[c])
                            continue;
                        columns.push_back(c);
                        identity = identity || shape.columns[c].identity_always;
                        settable = settable || !shape.columns[c].generated;
                    }
                    if (!settable) {
                        patient.because("a generated column differs, and nothing that it is made of");
                        left.push_back(keys[i]);
                    } else if (identity) { // no UPDATE sets it
                        attempt(keys[i], changes.updated, {delete_row(shape, keys[i], false), insert_row(shape, keys[i], values.at(n))});
                    } else {
                        attempt(keys[i], changes.updated, {update_row(shape, keys[i], columns, values.at(n))});
                    }
                }
            }
        }
    }

    Context& context_;
    Route const& route_;
    std::vector<model::TablePair> const& pairs_;
    verify::RepairEvents const& events_;
    Moments moments_;
    pg::Session source_;
    pg::Session target_;
    pg::Session writer_; // its messages commit while the source's rows are locked
};

// The fresh comparison, and what it found.
RepairReport diagnose(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs,
                      verify::RepairEvents const& events, std::map<std::size_t, Patient>& patients) {
    std::size_t count = 0;
    auto const outcome = verify_across(context, route, mapping, pairs, {}, events.compare, [&](std::size_t pair, AcrossShape const& shape, verify::Difference const& difference) {
        auto& patient = patients[pair];
        if (!patient.shape)
            patient.shape = shape;
        if (events.statement) {
            Sql const sql = difference.kind == FindingKind::missing ? insert_row(shape, difference.key, {})
                            : difference.kind == FindingKind::extra ? delete_row(shape, difference.key, true)
                                                                    : update_row(shape, difference.key, difference.columns, {});
            events.statement({pairs[pair], difference.kind, sql.text() + ";"});
        }
        if (++count <= max_rows)
            patient.keys.push_back(difference.key);
    });
    return {.before = outcome.verification, .tables = {}, .interrupted = outcome.interrupted};
}

} // namespace

RepairReport plan_across_repair(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs,
                                verify::RepairEvents const& events) {
    std::map<std::size_t, Patient> patients;
    return diagnose(context, route, mapping, pairs, events, patients);
}

RepairReport repair_across(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs,
                           verify::RepairEvents const& events) {
    std::map<std::size_t, Patient> patients;
    auto report = diagnose(context, route, mapping, pairs, events, patients);
    TouchedByTable handled;
    for (auto& [number, patient] : patients) {
        patient.report.source = pairs[number].source;
        patient.report.target = pairs[number].target;
        auto const& before = report.before.tables[number];
        auto const found = before.missing + before.extra + before.different;
        if (std::cmp_less(patient.keys.size(), found)) {
            patient.because(fmt::format("only {} rows are mended at a time: run it again", max_rows));
            patient.report.remaining = found - static_cast<std::int64_t>(patient.keys.size());
        }
        for (auto const& key : patient.keys) {
            Key own(key.size());
            for (std::size_t i = 0; i < key.size(); ++i) {
                auto const& name = patient.shape->columns[patient.shape->key[i].column].name;
                own[static_cast<std::size_t>(std::ranges::find(pairs[number].key, name) - pairs[number].key.begin())] = key[i];
            }
            handled[number].keys.insert(std::move(own));
        }
    }
    if (handled.empty())
        return report;
    {
        Surgeon surgeon{context, route, mapping, pairs, events};
        for (auto& [number, patient] : patients)
            surgeon.treat(number, patient);
    }
    auto const after = verify_keys(context, route, mapping, pairs, handled, {}, {});
    for (auto& [number, patient] : patients) {
        auto const& now = after.verification.tables[number];
        patient.report.remaining += now.missing + now.extra + now.different;
        patient.report.remaining_samples = now.samples;
        if (!now.why.empty()) {
            patient.because("not proven: " + now.why);
            patient.report.remaining = std::max<std::int64_t>(patient.report.remaining, 1);
        }
        if (patient.report.remaining == 0)
            patient.report.reasons.clear();
        report.tables.push_back(std::move(patient.report));
    }
    report.interrupted = report.interrupted || (events.compare.interrupted && events.compare.interrupted());
    return report;
}

} // namespace pgcarve::run
