#include "run/audit.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "control/migrations.hpp"
#include "control/plan_json.hpp"
#include "pg/retry.hpp"
#include "pg/wake.hpp"
#include "run/audit_plan.hpp"
#include "run/executor.hpp"
#include "run/proof/verification.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Authority;
using cutover::Phase;
using sql::Ident;
using sql::Sql;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int audit_class = 0x70676378; // of the advisory lock that whoever runs an audit holds; beside the lease's
constexpr std::chrono::seconds slot_in_use_for{60}; // until a server finds out that a connection is gone
constexpr std::chrono::seconds give_way_within{20}; // an audit that was asked to end
constexpr base::Millis look_again{250};
constexpr base::Millis guard_every{2'000};

bool auditable(control::ServiceState const& state) {
    return state.setup && state.setup->strategy == model::Strategy::copy && (state.phase == Phase::dual_writing || state.phase == Phase::schema_live);
}

std::optional<std::int64_t> retained(pg::Session& session, std::string const& slot) {
    auto const row = session.maybe_one(Sql{"SELECT (pg_current_wal_lsn() - restart_lsn)::bigint AS bytes FROM pg_replication_slots WHERE slot_name = "}.bind(slot));
    return row && row->maybe("bytes") ? std::optional<std::int64_t>{row->integer("bytes")} : std::nullopt;
}

std::string setup_text(control::ServiceState const& state) { return state.setup ? control::to_json(*state.setup).dump() : ""; }

std::string megabytes(std::int64_t bytes) { return fmt::format("{} MB", bytes >> 20); }

// "usable", or why it is not.
std::string slot_state(pg::Session& session, std::string const& slot) {
    auto const row = session.maybe_one(Sql{"SELECT coalesce(wal_status, 'lost') AS status FROM pg_replication_slots WHERE slot_name = "}.bind(slot));
    if (!row)
        return fmt::format("slot {} is gone", slot);
    return row->text("status") == "lost" ? fmt::format("the server has removed log that slot {} needs", slot) : "usable";
}

void drop_slot(base::Interrupt& interrupt, pg::Session& session, std::string const& slot) {
    auto const begun = Clock::now();
    for (;;) {
        try {
            session.query(Sql{"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = "}.bind(slot));
            return;
        } catch (pg::SqlError const& e) {
            if (e.sqlstate() != "55006" || Clock::now() > begun + slot_in_use_for)
                throw;
            // An audit that does not answer is cut off: it stored how far it came.
            if (Clock::now() > begun + give_way_within)
                session.query(Sql{"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL AND slot_name = "}.bind(slot));
            interrupt.check();
            interrupt.wait_for(look_again);
        }
    }
}

class Audit {
public:
    Audit(Context& context, std::string const& service, AuditOptions const& options, AuditEvents const& events)
        : context_{context}
        , service_{service}
        , options_{options}
        , events_{events}
        , slot_{audit_slot(service)}
        , session_{context.shared("audit")} {
        control::require_current(session_, control::embedded_migrations());
    }

    model::AuditSummary run() {
        auto state = require_auditable();
        lock();
        require_logical();
        auto stored = audit::Store{session_}.find(service_);
        if (stored && stored->state != "lost") {
            if (auto const why = slot_state(session_, slot_); why != "usable")
                return lost(why, stored->position);
        }
        auto plan = plan_audit(service_, current_names(state), catalog::read_catalog(session_));
        publish(plan);
        if (!stored || stored->state == "lost") {
            if (stored)
                context_.events.warn(fmt::format("the last audit ended at {} since {}: what was written between then and now is not audited", stored->position.text(),
                                                 stored->lost_why.value_or("it was lost")));
            make_slot();
            stored = audit::Store{session_}.find(service_);
        }
        audit::Store{session_}.set_state(service_, "running");
        tell_untold();
        deadline_ = options_.duration ? std::optional{Clock::now() + *options_.duration} : std::nullopt;
        end_ = options_.until_caught_up ? audit::Store{session_}.mark() : base::Lsn{~std::uint64_t{0}};
        total_.service = service_;
        total_.from = stored->position;
        for (;;) {
            follow(state, std::move(plan));
            if (!again_)
                break;
            again_ = false;
            state = require_auditable();
            plan = plan_audit(service_, current_names(state), catalog::read_catalog(session_));
            publish(plan);
        }
        if (over_)
            end_audit(context_, session_, service_, false);
        else if (audit::Store{session_}.find(service_) && !total_.lost)
            audit::Store{session_}.set_state(service_, "stopped");
        return total_;
    }

private:
    control::ServiceState require_auditable() {
        auto const state = control::Store{session_}.service(service_);
        if (!state)
            (void)context_.service(service_); // a name that nobody knows is told from one that was never split
        if (!state || !auditable(*state))
            throw Error{Exit::usage, "nothing-to-audit", fmt::format("service {} is not written on two sides (phase {})", service_, state ? cutover::text(state->phase) : "planned"),
                        fmt::format("an audit follows a service in dual_writing or schema_live; look with `pgcarve status {}`", service_)};
        return *state;
    }

    // Held by this session: it ends with the process however that dies.
    void lock() {
        for (auto const limit = Clock::now() + std::chrono::seconds{5};;) {
            if (session_.one(Sql{"SELECT pg_try_advisory_lock("}.number(audit_class).add(", hashtext(").bind(service_).add(")) AS locked")).boolean("locked"))
                return;
            if (Clock::now() > limit) // one that was killed has a session for a moment
                throw Error{Exit::unavailable, "audit-running", fmt::format("another pgcarve audits service {} now", service_), "one is enough; `pgcarve audit --stop` ends it"};
            context_.interrupt.check();
            context_.interrupt.wait_for(look_again);
        }
    }

    void require_logical() {
        auto const level = session_.one(Sql{"SELECT current_setting('wal_level') AS v"}).text("v");
        if (level != "logical")
            throw Error{Exit::needs_decision, "wal-level", fmt::format("wal_level of the shared database's server is {}", level),
                        "ALTER SYSTEM SET wal_level = 'logical', then restart the server; nothing was touched"};
    }

    // The publication holds exactly the tables of both sides. It is made before the slot, which could not read it otherwise.
    void publish(audit::Plan const& plan) {
        std::vector<std::string> names;
        Sql tables;
        for (auto const& table : plan.tables) {
            for (auto const& name : table.names) {
                tables.add(names.empty() ? Sql::Fixed{""} : Sql::Fixed{", "}).add(name);
                names.push_back(name.quoted());
            }
        }
        auto const there = session_.maybe_one(Sql{"SELECT 1 AS x FROM pg_publication WHERE pubname = "}.bind(slot_));
        auto const same = [&] {
            return session_
                .one(Sql{"SELECT (SELECT array_agg(prrelid ORDER BY prrelid) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = "}
                         .bind(slot_)
                         .add(") IS NOT DISTINCT FROM (SELECT array_agg(to_regclass(t)::oid ORDER BY to_regclass(t)::oid) FROM unnest(")
                         .bind(pg::format_array(names))
                         .add("::text[]) AS t) AS same"))
                .boolean("same");
        };
        if (there && same())
            return;
        Sql statement{there ? Sql::Fixed{"ALTER PUBLICATION "} : Sql::Fixed{"CREATE PUBLICATION "}};
        statement.add(Ident{slot_}).add(there ? Sql::Fixed{" SET TABLE "} : Sql::Fixed{" FOR TABLE "}).add(tables);
        pg::with_lock_retry(session_, pg::LockPolicy{}, names, [&](pg::Transaction&) { session_.run(statement.text()); }, announce_wait(context_, "publishing the tables"));
    }

    void make_slot() {
        // One of an earlier try that died before its position was stored.
        drop_slot(context_.interrupt, session_, slot_);
        context_.events.info(fmt::format("making slot {}: it waits for the transactions that run now", slot_));
        auto const made = pg::Replication{{.dsn = context_.map.dsn, .purpose = "audit slot", .wake_fd = wake_.get()}}.create_slot(slot_);
        context_.failpoints.hit("audit/slot");
        audit::Store{session_}.begin(service_, slot_, made.consistent_point);
    }

    void tell_untold() {
        audit::Store store{session_};
        auto const untold = store.untold(service_);
        for (auto const& one : untold)
            events_.found.difference(one);
        store.told(untold);
        total_.differences += static_cast<std::int64_t>(untold.size());
    }

    void follow(control::ServiceState const& state, audit::Plan plan) {
        audit::Settings settings;
        settings.service = service_;
        settings.slot = slot_;
        settings.stream = {.dsn = context_.map.dsn, .purpose = "audit stream", .wake_fd = wake_.get()};
        settings.shared = context_.shared("audit look");
        settings.service_is_authority = [this] {
            auto const now = control::Store{session_}.service(service_);
            return now && now->authority == Authority::schema;
        };
        settings.transaction.folder = options_.folder;
        auto const position = audit::Store{session_}.find(service_)->position;
        audit::Events found = events_.found;
        found.tick = [&](model::AuditSummary const& now) { events_.found.tick(sum(now)); };
        found.enough = [&] { return enough(state); };
        std::optional<audit::Auditor> auditor;
        try {
            open(auditor, settings, std::move(plan), position);
            events_.ready();
            if (auditor->run(session_, context_.interrupt, end_, found))
                total_.ended = "caught up";
            else if (context_.interrupt.requested())
                total_.ended = "stopped by " + context_.interrupt.reason();
            total_ = sum(auditor->summary());
            auditor->stop();
        } catch (pg::SqlError const& e) {
            if (auditor)
                total_ = sum(auditor->summary());
            // 55000: the log is gone; 42704: the slot is. Both while it was read, or before.
            auto const why = session_.alive() ? slot_state(session_, slot_) : "usable";
            if (why != "usable")
                total_ = lost(why, total_.position);
            else if (e.sqlstate() == pg::sqlstate::undefined_column && !changed_) // a table was changed under the audit
                changed_ = again_ = true;
            else
                throw;
        } catch (Error const& e) {
            if (auditor)
                total_ = sum(auditor->summary());
            // The server ends the stream of a slot whose log it removes.
            if (e.code() == "server-lost" && session_.alive()) {
                if (auto const why = slot_state(session_, slot_); why != "usable") {
                    total_ = lost(why, total_.position);
                    return;
                }
            }
            if (e.code() != "tables-renamed" || changed_)
                throw;
            changed_ = again_ = true;
        }
        if (guard_)
            give_up_slot();
    }

    void open(std::optional<audit::Auditor>& auditor, audit::Settings const& settings, audit::Plan plan, base::Lsn position) {
        auto const planned = std::move(plan);
        for (auto const limit = Clock::now() + slot_in_use_for;;) {
            try {
                auditor.emplace(settings, planned, [this, planned](base::Oid oid) { return home_of(planned, oid); }, position);
                return;
            } catch (pg::SqlError const& e) {
                if (e.sqlstate() != "55006" || Clock::now() > limit) // the connection of one that died is still being found out about
                    throw;
                context_.interrupt.check();
                context_.interrupt.wait_for(look_again);
            }
        }
    }

    // A partition that was added after the plan was made.
    std::optional<audit::Home> home_of(audit::Plan const& plan, base::Oid oid) {
        for (auto const row : session_.query(Sql{"SELECT relid::oid::bigint AS oid FROM pg_partition_ancestors("}.number(oid.value).add("::oid::regclass)"))) {
            auto const at = plan.homes.find(static_cast<std::uint32_t>(row.integer("oid")));
            if (at != plan.homes.end())
                return audit::Home{at->second.table, at->second.side, false};
        }
        return std::nullopt;
    }

    // About once a second.
    bool enough(control::ServiceState const& begun) {
        changed_ = false; // it runs again
        context_.failpoints.hit("audit/tick");
        if (audit::Store{session_}.stop_wanted(service_)) {
            total_.ended = "another pgcarve took the audit away";
            return true;
        }
        auto const state = control::Store{session_}.service(service_);
        if (!state || !auditable(*state)) {
            total_.ended = fmt::format("service {} is {}", service_, state ? cutover::text(state->phase) : "gone");
            over_ = true; // nothing is written on two sides any more: the slot would only keep log
            return true;
        }
        if (state->authority != begun.authority || setup_text(*state) != setup_text(begun)) {
            context_.events.info("the service has changed: the audit goes on with its tables as they are now");
            again_ = true;
            return true;
        }
        if (deadline_ && Clock::now() >= *deadline_) {
            total_.ended = "its time is over";
            return true;
        }
        if (Clock::now() - guarded_ >= guard_every) {
            guarded_ = Clock::now();
            auto const bytes = retained(session_, slot_);
            if (bytes && *bytes > options_.max_retained_bytes) {
                guard_ = *bytes;
                return true;
            }
        }
        return false;
    }

    void give_up_slot() {
        auto const why = fmt::format("slot {} kept {} of the log, more than {}", slot_, megabytes(*guard_), megabytes(options_.max_retained_bytes));
        drop_slot(context_.interrupt, session_, slot_);
        total_ = lost(why + ", and was dropped", total_.position);
        again_ = false;
    }

    model::AuditSummary lost(std::string const& why, base::Lsn position) {
        audit::Store{session_}.set_state(service_, "lost", why);
        auto summary = total_;
        summary.service = service_;
        summary.position = position;
        summary.ended = "the log is lost";
        summary.lost = why;
        return summary;
    }

    // With the parts before.
    model::AuditSummary sum(model::AuditSummary const& part) const {
        auto all = total_;
        all.position = part.position;
        all.transactions += part.transactions;
        all.changes += part.changes;
        all.differences += part.differences;
        all.equal_again += part.equal_again;
        all.undecided += part.undecided;
        return all;
    }

    Context& context_;
    std::string const& service_;
    AuditOptions const& options_;
    AuditEvents const& events_;
    std::string slot_;
    pg::WakeFd wake_{context_.interrupt};
    pg::Session session_;
    model::AuditSummary total_;
    std::optional<Clock::time_point> deadline_;
    base::Lsn end_{};
    Clock::time_point guarded_ = Clock::now();
    std::optional<std::int64_t> guard_; // bytes, when they are too many
    bool over_ = false;
    bool again_ = false;   // with the tables as they are now
    bool changed_ = false; // it has been tried, and has not run since
};

} // namespace

model::AuditSummary audit_service(Context& context, std::string const& service, AuditOptions const& options, AuditEvents const& events) {
    return Audit{context, service, options, events}.run();
}

void end_audit(Context& context, pg::Session& session, std::string const& service, bool differences) {
    auto const slot = audit_slot(service);
    audit::Store store{session};
    store.want_stop(service);
    drop_slot(context.interrupt, session, slot);
    session.run(Sql{"DROP PUBLICATION IF EXISTS "}.add(Ident{slot}).text());
    store.forget(service, differences);
}

void stop_audit(Context& context, std::string const& service) {
    pg::Session session{context.shared("audit")};
    control::require_current(session, control::embedded_migrations());
    if (!control::Store{session}.service(service))
        (void)context.service(service);
    end_audit(context, session, service, false);
}

std::vector<std::string> guard_audits(Context& context) {
    std::vector<std::string> done;
    pg::Session session{context.shared("audit")};
    audit::Store store{session};
    auto const limit = AuditOptions{}.max_retained_bytes;
    for (auto const& state : control::Store{session}.services()) {
        auto const audit = store.find(state.name);
        if (!audit || audit->state == "lost")
            continue;
        auto const bytes = retained(session, audit->slot);
        bool const over = !auditable(state); // there is nothing to follow any more
        bool const idle = session.maybe_one(Sql{"SELECT 1 AS x FROM pg_replication_slots WHERE NOT active AND slot_name = "}.bind(audit->slot)).has_value();
        if (!idle || !bytes || (*bytes <= limit && !over))
            continue;
        auto const why = over ? fmt::format("slot {} has nothing to follow any more", audit->slot)
                              : fmt::format("slot {} kept {} of the log, more than {}", audit->slot, megabytes(*bytes), megabytes(limit));
        try {
            drop_slot(context.interrupt, session, audit->slot);
            store.set_state(state.name, "lost", why + ", and was dropped");
            done.push_back(fmt::format("audit of {}: {}, and was dropped", state.name, why));
        } catch (pg::SqlError const& e) {
            if (e.sqlstate() != pg::sqlstate::insufficient_privilege)
                throw;
            done.push_back(fmt::format("audit of {}: {}; end it with `pgcarve audit {} --stop` ({})", state.name, why, state.name, e.message()));
        }
    }
    return done;
}

std::string audit_slot(std::string const& service) {
    // Slots allow few characters; a hash keeps names apart that would become the same.
    constexpr std::size_t longest = 36;
    std::string name;
    for (char const c : service)
        name += (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ? c : '_';
    bool const plain = name == service && name.size() <= longest;
    name.resize(std::min(name.size(), longest));
    if (plain)
        return "pgcarveaudit_" + name;
    std::uint64_t hash = 14695981039346656037ULL; // FNV-1a
    for (char const c : service)
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    return fmt::format("pgcarveaudit_{}_{:08x}", name, static_cast<std::uint32_t>(hash ^ (hash >> 32U)));
}

} // namespace pgcarve::run
