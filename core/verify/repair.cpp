#include "verify/repair.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "verify/repair_statements.hpp"

namespace pgcarve::verify {

namespace {

using model::FindingKind;
using sql::Sql;

constexpr std::size_t max_reasons = 10;

// One pair while it is being repaired.
struct Patient {
    PairShape shape;
    std::vector<Range> ranges;
    TargetRules rules;
    TableRepair report;
    std::vector<Key> stuck; // left for the final transaction

    std::vector<std::string> waits; // why they are stuck

    void because(std::string reason) {
        report.reasons.push_back(std::move(reason));
        bound_reasons();
    }

    void bound_reasons() {
        for (auto* const list : {&report.reasons, &waits}) {
            std::vector<std::string> kept;
            for (auto& reason : *list) {
                if (kept.size() < max_reasons && std::ranges::find(kept, reason) == kept.end())
                    kept.push_back(std::move(reason));
            }
            *list = std::move(kept);
        }
    }

    void close() {
        if (report.remaining == 0) {
            report.reasons.clear(); // of attempts that a later one made good
            return;
        }
        for (auto& reason : waits)
            because(std::move(reason));
        waits.clear();
    }
};

// An error that concerns rows and not the whole statement: constraints (23), a trigger's own refusal (P0, or any
// code of its choice) and data that a check function chokes on (22).
bool concerns_rows(pg::SqlError const& e) {
    auto const kind = e.sqlstate().substr(0, 2);
    return kind == "23" || kind == "22" || kind == "P0" || kind == "27";
}

// What another order of changes, or all of them at once, may cure.
bool waits_for_others(pg::SqlError const& e) {
    return e.sqlstate() == pg::sqlstate::unique_violation || e.sqlstate() == pg::sqlstate::foreign_key_violation ||
           e.sqlstate() == "23P01"; // exclusion_violation
}

std::string first_line(pg::SqlError const& e) { return e.message().substr(0, e.message().find('\n')); }

std::vector<Key> keys_of(std::vector<Difference> const& differences) {
    std::vector<Key> keys;
    keys.reserve(differences.size());
    for (auto const& difference : differences)
        keys.push_back(difference.key);
    return keys;
}

class Surgeon {
public:
    Surgeon(pg::SessionSettings const& settings, RepairOptions const& options, RepairEvents const& events)
        : session_{settings}
        , options_{options}
        , events_{events} {
        session_.run("SET jit = off");
    }

    // Pages of differences of one pair, in order. `handle` gets each; stops when interrupted.
    void each_page(Patient& patient, Kinds kinds, std::function<void(std::vector<Difference> const&)> const& handle) {
        for (auto range : patient.ranges) {
            while (!interrupted()) {
                Scope scope;
                scope.range = range;
                scope.where = options_.compare.where;
                auto const limit = options_.batch_rows;
                auto const page = read_differences(
                    patient.shape, session_.query(list_differences(patient.shape, scope, kinds, limit)));
                if (!page.empty())
                    handle(page);
                if (page.size() < limit)
                    break;
                range.after = page.back().key;
            }
        }
    }

    // One batch. What it cannot mend is left for treat_stuck() or, when no order of changes could help, counted.
    void treat(Patient& patient, std::vector<Key> const& keys) {
        Changes changes;
        Failures failures;
        std::int64_t equal = 0;
        in_transaction({patient.shape.source.quoted(), patient.shape.target.quoted()}, [&] {
            changes = {};
            failures = {};
            auto const now = look_again(patient, keys);
            equal = static_cast<std::int64_t>(keys.size() - now.size());
            apply_all(patient, now, changes, failures);
            // A row may have waited for the value that another one of the batch gave up.
            for (auto before = failures.waiting.size() + 1; failures.waiting.size() < before;) {
                before = failures.waiting.size();
                apply_all(patient, differences(patient, std::exchange(failures.waiting, {})), changes, failures);
            }
        });
        patient.report.add(changes);
        patient.report.found_equal += equal;
        // Once more after the commit, in one statement and so at one moment.
        for (auto const& difference : differences(patient, keys)) {
            bool const hopeless = std::ranges::find(failures.hopeless, difference.key) != failures.hopeless.end();
            if (hopeless || patient.stuck.size() >= options_.max_stuck)
                count_remaining(patient, difference);
            else
                patient.stuck.push_back(difference.key);
        }
        if (events_.progress)
            events_.progress(patient.shape.target.display(), static_cast<std::int64_t>(keys.size()));
    }

    // All rows that no batch could mend, of all tables.
    void treat_stuck(std::vector<Patient*> const& parents_first) {
        for (auto it = parents_first.rbegin(); it != parents_first.rend(); ++it)
            retry_extra(**it);
        std::vector<Patient*> patients;
        for (auto* const patient : parents_first) {
            if (!patient->stuck.empty())
                patients.push_back(patient);
        }
        if (!patients.empty() && !interrupted())
            operate(patients);
        for (auto* const patient : patients) {
            for (auto const& difference : differences(*patient, patient->stuck))
                count_remaining(*patient, difference);
        }
    }

    [[nodiscard]] bool interrupted() const { return events_.compare.interrupted && events_.compare.interrupted(); }
    pg::Session& session() { return session_; }

private:
    // Rows that failed alone: `waiting` for what other rows hold, or `hopeless` whatever the others do.
    struct Failures {
        std::vector<Key> waiting;
        std::vector<Key> hopeless;
    };

    // Extra rows that others referred to may have become free by what was mended since; of a tree, leaf by leaf.
    void retry_extra(Patient& patient) {
        while (!interrupted()) {
            std::vector<Key> extra;
            std::vector<Key> others;
            for (auto const& difference : differences(patient, std::exchange(patient.stuck, {})))
                (difference.kind == FindingKind::extra ? extra : others).push_back(difference.key);
            patient.stuck = others;
            if (extra.empty())
                return;
            treat(patient, extra);
            if (patient.stuck.size() >= others.size() + extra.size())
                return;
        }
    }

    // One transaction for the stuck rows of all these tables.
    void operate(std::vector<Patient*> const& patients) {
        std::map<Patient*, Changes> changes;
        std::vector<std::string> tables;
        for (auto const* const patient : patients)
            tables.push_back(patient->shape.target.quoted());
        try {
            in_transaction(tables, [&] {
                changes.clear();
                operate_together(patients, changes);
            });
        } catch (pg::SqlError const& e) {
            if (!concerns_rows(e))
                throw;
            for (auto* const patient : patients)
                patient->because(first_line(e));
            return;
        }
        for (auto* const patient : patients) {
            patient->report.add(changes[patient]);
            if (patient->stuck.size() < options_.max_stuck)
                patient->waits.clear(); // nothing waits any more
        }
    }

    void in_transaction(std::vector<std::string> const& tables, std::function<void()> const& work) {
        pg::with_lock_retry(
            session_, options_.locks, tables,
            [&](pg::Transaction&) {
                // The fence on the follower lets pass what carries this mark.
                session_.run("SET LOCAL pgcarve.mirror = 'on'; SET CONSTRAINTS ALL DEFERRED");
                work();
            },
            [&](int attempt, std::vector<pg::Blocker> const& blockers) {
                if (events_.on_wait)
                    events_.on_wait(attempt, blockers);
            });
    }

    // Locks both sides and tells, from a snapshot taken after that, what still differs.
    std::vector<Difference> look_again(Patient const& patient, std::vector<Key> const& keys) {
        session_.query(lock_source(patient.shape, keys));
        session_.query(lock_target(patient.shape, keys));
        return differences(patient, keys);
    }

    std::vector<Difference> differences(Patient const& patient, std::vector<Key> const& keys) {
        if (keys.empty())
            return {};
        Scope scope;
        scope.keys = keys;
        return read_differences(patient.shape,
                                session_.query(list_differences(patient.shape, scope, Kinds::all, keys.size() * 2)));
    }

    void apply_all(Patient& patient, std::vector<Difference> const& now, Changes& changes, Failures& failures) {
        std::vector<Key> missing;
        std::vector<Key> extra;
        std::map<std::vector<std::size_t>, std::vector<Key>> different;
        for (auto const& difference : now) {
            if (difference.kind == FindingKind::missing)
                missing.push_back(difference.key);
            else if (difference.kind == FindingKind::extra)
                extra.push_back(difference.key);
            else
                different[difference.columns].push_back(difference.key);
        }
        auto const& shape = patient.shape;
        changes.deleted += attempt(
            patient, extra, [&](auto const& keys) { return delete_rows(shape, patient.rules, keys); }, failures);
        for (auto const& [columns, keys] : different) {
            auto const& set = columns; // a structured binding cannot be captured
            bool const replace = must_replace(shape, set);
            if (replace && !patient.rules.replaceable) {
                patient.because("an identity column that is GENERATED ALWAYS differs, and a foreign key forbids to replace "
                                "the row");
                failures.hopeless.insert(failures.hopeless.end(), keys.begin(), keys.end());
                continue;
            }
            changes.updated += attempt(
                patient, keys,
                [&](auto const& some) { return replace ? replace_rows(shape, some) : update_rows(shape, set, some); },
                failures);
        }
        changes.inserted +=
            attempt(patient, missing, [&](auto const& keys) { return insert_rows(shape, keys); }, failures);
    }

    // The statement for all keys; when constraints object, for halves of them, down to single rows.
    template <typename Statement>
    std::int64_t attempt(Patient& patient, std::vector<Key> const& keys, Statement const& statement,
                         Failures& failures) {
        if (keys.empty())
            return 0;
        session_.run("SAVEPOINT pgcarve_rows");
        try {
            auto const affected = session_.query(statement(keys)).affected();
            // What is deferred is checked here, while it is known which rows are meant.
            session_.run("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; RELEASE SAVEPOINT pgcarve_rows");
            return static_cast<std::int64_t>(affected);
        } catch (pg::SqlError const& e) {
            if (!concerns_rows(e))
                throw;
            session_.run("ROLLBACK TO SAVEPOINT pgcarve_rows; RELEASE SAVEPOINT pgcarve_rows");
            if (keys.size() == 1) {
                bool const waits = waits_for_others(e);
                (waits ? patient.waits : patient.report.reasons).push_back(first_line(e));
                (waits ? failures.waiting : failures.hopeless).push_back(keys.front());
                patient.bound_reasons();
                return 0;
            }
        }
        auto const middle = keys.begin() + static_cast<std::ptrdiff_t>(keys.size() / 2);
        auto const first = attempt(patient, std::vector<Key>{keys.begin(), middle}, statement, failures);
        return first + attempt(patient, std::vector<Key>{middle, keys.end()}, statement, failures);
    }

    void operate_together(std::vector<Patient*> const& parents_first, std::map<Patient*, Changes>& changes) {
        std::map<Patient*, std::vector<Difference>> now;
        for (auto* const patient : parents_first)
            session_.query(lock_source(patient->shape, patient->stuck));
        for (auto* const patient : parents_first)
            now[patient] = look_again(*patient, patient->stuck);
        for (auto it = parents_first.rbegin(); it != parents_first.rend(); ++it) {
            std::vector<Key> extra;
            for (auto const& difference : now[*it]) {
                if (difference.kind == FindingKind::extra)
                    extra.push_back(difference.key);
            }
            if (!extra.empty())
                changes[*it].deleted += affected(delete_rows((*it)->shape, (*it)->rules, extra));
        }
        for (auto* const patient : parents_first)
            change_together(*patient, now[patient], changes[patient]);
    }

    void change_together(Patient& patient, std::vector<Difference> const& now, Changes& changes) {
        std::vector<Key> missing;
        std::vector<Key> different;
        std::map<std::vector<std::size_t>, std::vector<Key>> by_columns;
        for (auto const& difference : now) {
            if (difference.kind == FindingKind::missing)
                missing.push_back(difference.key);
            if (difference.kind == FindingKind::different) {
                different.push_back(difference.key);
                by_columns[difference.columns].push_back(difference.key);
            }
        }
        if (!different.empty() && patient.rules.replaceable) {
            changes.updated += affected(replace_rows(patient.shape, different));
        } else if (!different.empty()) {
            std::set<std::string> park;
            for (auto const& [columns, keys] : by_columns) {
                for (auto const at : columns) {
                    if (patient.rules.nullable_uniques.contains(patient.shape.columns[at].name))
                        park.insert(patient.shape.columns[at].name);
                }
            }
            // Parked columns have to be written back in every row, whether they differed there or not.
            std::set<std::size_t> all;
            for (auto const& [columns, keys] : by_columns)
                all.insert(columns.begin(), columns.end());
            if (!park.empty())
                session_.query(park_rows(patient.shape, park, different));
            changes.updated += affected(update_rows(patient.shape, {all.begin(), all.end()}, different));
        }
        if (!missing.empty())
            changes.inserted += affected(insert_rows(patient.shape, missing));
    }

    std::int64_t affected(Sql const& statement) {
        return static_cast<std::int64_t>(session_.query(statement).affected());
    }

    void count_remaining(Patient& patient, Difference const& difference) {
        ++patient.report.remaining;
        if (patient.report.remaining_samples.size() < options_.compare.max_samples)
            patient.report.remaining_samples.push_back(to_finding(patient.shape, difference));
        if (difference.kind == FindingKind::extra && !patient.rules.reactions.empty())
            patient.because(fmt::format("rows of {} may refer to an extra row, and deleting it would change them",
                                        patient.rules.reactions.front().table.display()));
    }

    pg::Session session_;
    RepairOptions const& options_;
    RepairEvents const& events_;
};

// Targets so ordered that a table comes after those it refers to, as far as there is such an order.
std::vector<Patient*> parents_first(pg::Session& session, std::vector<Patient>& patients) {
    std::map<long long, Patient*> by_oid;
    std::vector<std::string> oids;
    for (auto& patient : patients) {
        by_oid[patient.shape.target_oid.value] = &patient;
        oids.push_back(std::to_string(patient.shape.target_oid.value));
    }
    std::map<Patient*, std::set<Patient*>> parents;
    for (auto const row : session.query(Sql{"SELECT DISTINCT conrelid::int8 AS child, confrelid::int8 AS parent FROM"
                                            " pg_constraint WHERE contype = 'f' AND conrelid <> confrelid"
                                            " AND conrelid = ANY ("}
                                            .bind(pg::format_array(oids))
                                            .add("::oid[]) AND confrelid = ANY (")
                                            .bind(pg::format_array(oids))
                                            .add("::oid[])")))
        parents[by_oid.at(row.integer("child"))].insert(by_oid.at(row.integer("parent")));
    std::vector<Patient*> ordered;
    std::set<Patient*> seen;
    std::function<void(Patient*)> const visit = [&](Patient* patient) {
        if (!seen.insert(patient).second)
            return;
        for (auto* const parent : parents[patient])
            visit(parent);
        ordered.push_back(patient);
    };
    for (auto& patient : patients)
        visit(&patient);
    return ordered;
}

std::vector<Patient> admit(std::vector<DirtyPair>& all) {
    std::vector<Patient> patients;
    for (auto& dirty : all) {
        Patient patient;
        patient.report.source = dirty.shape.source;
        patient.report.target = dirty.shape.target;
        patient.shape = std::move(dirty.shape);
        patient.ranges = std::move(dirty.ranges);
        patients.push_back(std::move(patient));
    }
    return patients;
}

} // namespace

std::int64_t RepairReport::remaining() const {
    std::int64_t sum = 0;
    for (auto const& table : tables)
        sum += table.remaining;
    return sum;
}

RepairReport print_repairs(pg::SessionSettings const& settings, Located found, RepairOptions const& options, RepairEvents const& events) {
    RepairReport report{std::move(found.verification), {}, found.interrupted};
    auto patients = admit(found.dirty);
    Surgeon surgeon{settings, options, events};
    auto const ordered = parents_first(surgeon.session(), patients);
    auto const print = [&](Patient& patient, Kinds kinds) {
        auto const& pair = found.dirty[static_cast<std::size_t>(&patient - patients.data())].pair;
        surgeon.each_page(patient, kinds, [&](std::vector<Difference> const& page) {
            for (auto const& difference : page) {
                if (events.statement)
                    events.statement({pair, difference.kind, display_statement(patient.shape, difference)});
            }
        });
    };
    for (auto it = ordered.rbegin(); it != ordered.rend(); ++it)
        print(**it, Kinds::extra);
    for (auto* const patient : ordered)
        print(*patient, Kinds::missing_or_different);
    for (auto& patient : patients)
        report.tables.push_back(std::move(patient.report));
    report.interrupted = report.interrupted || surgeon.interrupted();
    return report;
}

RepairReport repair(pg::SessionSettings const& settings, Located found, RepairOptions const& options, RepairEvents const& events) {
    RepairReport report{std::move(found.verification), {}, found.interrupted};
    auto patients = admit(found.dirty);
    Surgeon surgeon{settings, options, events};
    for (auto& patient : patients)
        patient.rules = read_rules(surgeon.session(), patient.shape);
    auto const ordered = parents_first(surgeon.session(), patients);
    auto const treat = [&](Patient& patient, Kinds kinds) {
        surgeon.each_page(patient, kinds,
                          [&](std::vector<Difference> const& page) { surgeon.treat(patient, keys_of(page)); });
    };
    for (auto it = ordered.rbegin(); it != ordered.rend(); ++it)
        treat(**it, Kinds::extra);
    for (auto* const patient : ordered)
        treat(*patient, Kinds::missing_or_different);
    surgeon.treat_stuck(ordered);
    for (auto& patient : patients) {
        patient.close();
        report.tables.push_back(std::move(patient.report));
    }
    report.interrupted = report.interrupted || surgeon.interrupted();
    return report;
}

} // namespace pgcarve::verify
