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

    void because(std::string reason) {
        auto& reasons = report.reasons;
        if (reasons.size() < max_reasons && std::ranges::find(reasons, reason) == reasons.end())
            reasons.push_back(std::move(reason));
    }
};

// An error that concerns rows and not the whole statement: constraints (23), a trigger's own refusal (P0, or any
// code of its choice) and data that a check function chokes on (22).
bool concerns_rows(pg::SqlError const& e) {
    auto const kind = e.sqlstate().substr(0, 2);
    return kind == "23" || kind == "22" || kind == "P0" || kind == "27";
}

std::string first_line(pg::SqlError const& e) { return e.message().substr(0, e.message().find('\n')); }

std::vector<Key> keys_of(std::vector<Difference> const& differences) {
    std::vector<Key> keys;
    keys.reserve(differences.size());
    for (auto const& difference : differences)
        keys.push_back(difference.key);
    return keys;
}

struct Changes {
    std::int64_t inserted = 0;
    std::int64_t updated = 0;
    std::int64_t deleted = 0;
};

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

    void treat(Patient& patient, std::vector<Difference> const& page) {
        auto const keys = keys_of(page);
        Changes changes;
        std::vector<Key> failed;
        std::int64_t equal = 0;
        in_transaction(patient, [&] {
            changes = {};
            failed.clear();
            auto const now = look_again(patient, keys);
            equal = static_cast<std::int64_t>(keys.size() - now.size());
            apply_all(patient, now, changes, failed);
            // A row may have waited for the value that another one of the batch gave up.
            for (std::size_t before = failed.size() + 1; !failed.empty() && failed.size() < before;) {
                before = failed.size();
                auto const again = differences(patient, std::exchange(failed, {}));
                apply_all(patient, again, changes, failed);
            }
        });
        patient.report.inserted += changes.inserted;
        patient.report.updated += changes.updated;
        patient.report.deleted += changes.deleted;
        patient.report.found_equal += equal;
        // Those that failed are counted once the final transaction has tried them.
        std::vector<Key> settled;
        for (auto const& key : keys) {
            if (std::ranges::find(failed, key) == failed.end())
                settled.push_back(key);
        }
        recheck(patient, settled);
        for (auto& key : failed) {
            if (patient.stuck.size() < options_.max_stuck)
                patient.stuck.push_back(std::move(key));
            else
                recheck(patient, {key});
        }
        if (events_.progress)
            events_.progress(patient.shape.target.display(), static_cast<std::int64_t>(page.size()));
    }

    // All rows that no batch could mend, of all tables, in one transaction.
    void treat_stuck(std::vector<Patient*> const& parents_first) {
        std::vector<Patient*> patients;
        for (auto* const patient : parents_first) {
            if (!patient->stuck.empty())
                patients.push_back(patient);
        }
        if (interrupted()) {
            for (auto* const patient : patients)
                recheck(*patient, patient->stuck);
            return;
        }
        if (patients.empty())
            return;
        std::map<Patient*, Changes> changes;
        try {
            std::vector<std::string> tables;
            for (auto const* const patient : patients)
                tables.push_back(patient->shape.target.quoted());
            in_transaction(tables, [&] {
                changes.clear();
                operate_together(patients, changes);
            });
        } catch (pg::SqlError const& e) {
            if (!concerns_rows(e))
                throw;
            changes.clear();
            for (auto* const patient : patients)
                patient->because(first_line(e));
        }
        for (auto* const patient : patients) {
            auto const& done = changes[patient];
            patient->report.inserted += done.inserted;
            patient->report.updated += done.updated;
            patient->report.deleted += done.deleted;
            recheck(*patient, patient->stuck);
        }
    }

    [[nodiscard]] bool interrupted() const { return events_.compare.interrupted && events_.compare.interrupted(); }
    pg::Session& session() { return session_; }

private:
    void in_transaction(Patient const& patient, std::function<void()> const& work) {
        in_transaction(std::vector{patient.shape.source.quoted(), patient.shape.target.quoted()}, work);
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

    void apply_all(Patient& patient, std::vector<Difference> const& now, Changes& changes, std::vector<Key>& failed) {
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
            patient, extra, [&](auto const& keys) { return delete_rows(shape, patient.rules, keys); }, failed);
        for (auto const& [columns, keys] : different) {
            auto const& set = columns; // a structured binding cannot be captured
            bool const replace = must_replace(shape, set);
            if (replace && !patient.rules.replaceable) {
                patient.because("an identity column that is GENERATED ALWAYS differs, and a foreign key forbids to replace "
                                "the row");
                failed.insert(failed.end(), keys.begin(), keys.end());
                continue;
            }
            changes.updated += attempt(
                patient, keys,
                [&](auto const& some) { return replace ? replace_rows(shape, some) : update_rows(shape, set, some); },
                failed);
        }
        changes.inserted +=
            attempt(patient, missing, [&](auto const& keys) { return insert_rows(shape, keys); }, failed);
    }

    // The statement for all keys; when constraints object, for halves of them, down to single rows.
    template <typename Statement>
    std::int64_t attempt(Patient& patient, std::vector<Key> const& keys, Statement const& statement,
                         std::vector<Key>& failed) {
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
                patient.because(first_line(e));
                failed.push_back(keys.front());
                return 0;
            }
        }
        auto const middle = keys.begin() + static_cast<std::ptrdiff_t>(keys.size() / 2);
        auto const first = attempt(patient, std::vector<Key>{keys.begin(), middle}, statement, failed);
        return first + attempt(patient, std::vector<Key>{middle, keys.end()}, statement, failed);
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

    // The keys once more, after the commit, in one statement and so at one moment.
    void recheck(Patient& patient, std::vector<Key> const& keys) {
        for (auto const& difference : differences(patient, keys)) {
            ++patient.report.remaining;
            if (patient.report.remaining_samples.size() < options_.compare.max_samples)
                patient.report.remaining_samples.push_back(to_finding(patient.shape, difference));
            if (difference.kind == FindingKind::extra && !patient.rules.reactions.empty())
                patient.because(fmt::format("rows of {} may refer to an extra row, and deleting it would change them",
                                            patient.rules.reactions.front().table.display()));
        }
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

std::vector<Patient> admit(Comparison& comparison) {
    std::vector<Patient> patients;
    for (auto& dirty : comparison.dirty) {
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

RepairReport print_repairs(pg::SessionSettings const& settings, std::string const& service,
                           std::vector<model::TablePair> const& pairs, RepairOptions const& options,
                           RepairEvents const& events) {
    auto comparison = compare_and_locate(settings, service, pairs, options.compare, events.compare);
    RepairReport report{std::move(comparison.verification), {}, comparison.interrupted};
    std::vector<std::size_t> numbers;
    for (auto const& dirty : comparison.dirty)
        numbers.push_back(dirty.pair);
    auto patients = admit(comparison);
    Surgeon surgeon{settings, options, events};
    auto const ordered = parents_first(surgeon.session(), patients);
    auto const print = [&](Patient& patient, Kinds kinds) {
        auto const& pair = pairs[numbers[static_cast<std::size_t>(&patient - patients.data())]];
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

RepairReport repair(pg::SessionSettings const& settings, std::string const& service,
                    std::vector<model::TablePair> const& pairs, RepairOptions const& options, RepairEvents const& events) {
    auto comparison = compare_and_locate(settings, service, pairs, options.compare, events.compare);
    RepairReport report{std::move(comparison.verification), {}, comparison.interrupted};
    auto patients = admit(comparison);
    Surgeon surgeon{settings, options, events};
    for (auto& patient : patients)
        patient.rules = read_rules(surgeon.session(), patient.shape);
    auto const ordered = parents_first(surgeon.session(), patients);
    auto const treat = [&](Patient& patient, Kinds kinds) {
        surgeon.each_page(patient, kinds,
                          [&](std::vector<Difference> const& page) { surgeon.treat(patient, page); });
    };
    for (auto it = ordered.rbegin(); it != ordered.rend(); ++it)
        treat(**it, Kinds::extra);
    for (auto* const patient : ordered)
        treat(*patient, Kinds::missing_or_different);
    surgeon.treat_stuck(ordered);
    for (auto& patient : patients) {
        if (patient.report.remaining == 0)
            patient.report.reasons.clear(); // of attempts that a later one made good
    }
    for (auto& patient : patients)
        report.tables.push_back(std::move(patient.report));
    report.interrupted = report.interrupted || surgeon.interrupted();
    return report;
}

} // namespace pgcarve::verify
