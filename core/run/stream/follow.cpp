#include "run/stream/follow.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "pg/wake.hpp"
#include "run/executor.hpp"
#include "run/stream/loose.hpp"
#include "run/stream/mend.hpp"
#include "run/stream/patience.hpp"
#include "run/stream/published.hpp"
#include "run/stream/reference.hpp"
#include "run/stream/route.hpp"
#include "run/stream/target.hpp"
#include "run/stream/touched_bound.hpp"
#include "run/stream/wal_guard.hpp"
#include "sync/stream.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using base::Millis;
using cutover::Phase;

namespace {

constexpr Millis slice{100}; // between two looks at whether the lease is wanted
constexpr int slices_in_a_tick = 10;
constexpr Millis look_again{1'000};

class Following {
public:
    Following(Context& context, std::string const& service, SyncOptions const& options, SyncEvents const& events,
              std::unique_ptr<control::Lease> lease, SyncOutcome& outcome)
        : context_{context}, service_{service}, options_{options}, events_{events}, outcome_{outcome}, session_{context.shared("sync")},
          lease_{std::move(lease)} {}

    void run() {
        outcome_.next = fmt::format("pgcarve status {}", service_);
        while (!context_.interrupt.requested()) {
            try {
                if (!lease_ && !take_lease()) {
                    context_.interrupt.wait_for(slice);
                    continue;
                }
                if (lease_->wanted())
                    give_way();
                auto const way = direction();
                if (!way)
                    return;
                stream(*way);
                if (outcome_.caught_up)
                    return;
            } catch (Error const& e) {
                if (context_.interrupt.requested() && e.exit() == Exit::unavailable)
                    throw; // a clean end, or not in step: sync_service() knows
                if (!passes(e)) {
                    if (goes_on(e))
                        continue;
                    fail(e);
                }
                patience_.wait(e, [this] { return meanwhile(); });
                reconnect();
            }
        }
        if (options_.until_caught_up)
            context_.interrupt.check(); // not in step: nobody may take it for that
    }

private:
    // While nothing can be streamed: another verb may want the lease, and the source keeps more and more of its log.
    bool meanwhile() {
        try {
            if (guarded_ && guard_->due()) {
                pg::Session source{guarded_->source("sync")};
                (void)guard_->look(source);
                if (guard_->drops())
                    guard_->drop(source);
            }
            return lease_ && lease_->wanted();
        } catch (Error const& e) {
            if (!passes(e))
                throw;
            return false; // it is away as well
        }
    }

    // The stream knows what came; what to do about it shows where the two tables are held side by side: nothing, when the
    // target has the change already.
    bool goes_on(Error const& e) {
        if (e.code() != "schema-changed")
            return false;
        try {
            auto const way = direction();
            if (!way)
                return false;
            pg::Session source{way->source("sync")};
            (void)read_mapping(*way, source, read_apart(*way).left, TargetFirst::accepted);
            pg::Session target{way->target("sync")};
            auto const at = sync::position(target, way->name);
            if (!at || at == changed_at_) // the same again: it is not what the two tables look like
                return false;
            changed_at_ = at;
        } catch (Error const& now) {
            if (passes(now)) // the next round finds out
                return true;
            if (now.code() != e.code())
                throw;
            throw Error{now}.with("the stream stopped at: " + e.message());
        }
        context_.events.info(fmt::format("{}; the target has it already, and the stream goes on", e.message()));
        return true;
    }

    [[noreturn]] void fail(Error const& e) {
        if (auto const* const refused = dynamic_cast<pg::SqlError const*>(&e))
            explain(*refused, "sync", service_, "following the stream");
        throw;
    }

    void reconnect() {
        if (lease_ && !lease_->alive())
            lease_.reset();
        if (session_.alive())
            return;
        try {
            session_ = pg::Session{context_.shared("sync")};
        } catch (Error const&) { // NOLINT(bugprone-empty-catch)
            // Still away: the next round finds that out again.
        }
    }

    // False: somebody else has it, or wants it first.
    bool take_lease() {
        if (control::Store{session_}.lease_wanted(service_))
            return false;
        try {
            lease_ = std::make_unique<control::Lease>(context_.shared("lease"), service_, "sync", context_.operator_name);
            return true;
        } catch (Error const& e) {
            if (e.code() != "lease-held")
                throw;
            return false;
        }
    }

    // The way that the authority asks for; nullopt: there is nothing to stream any more.
    std::optional<Route> direction() {
        control::Store store{session_};
        for (bool told = false;; told = true) {
            auto const state = store.service(service_);
            auto const phase = state ? state->phase : Phase::planned;
            outcome_.phase = cutover::text(phase);
            if (phase != Phase::syncing && phase != Phase::database_live) {
                if (options_.until_caught_up)
                    throw Error{Exit::usage, "wrong-phase", fmt::format("service {} is {} now: there is nothing to be in step with", service_, outcome_.phase),
                                fmt::format("`pgcarve status {}` says what comes next", service_)};
                context_.events.info(fmt::format("service {} is {} now: there is nothing to stream any more", service_, outcome_.phase));
                return std::nullopt;
            }
            database_ = state->setup->database.value();
            auto const open = store.open_attempt(service_);
            // A cutover that stopped before its switch leaves the source as it was.
            stream_name_ = state->setup->database->name;
            if (!open || (phase == Phase::syncing && open->verb == "cutover"))
                return route(context_, service_, *state->setup->database, phase == Phase::database_live);
            auto const mend = fmt::format("a {} of {} was interrupted: run `{}` to finish it", open->verb, service_, rerun_command(open->verb, service_));
            if (options_.until_caught_up)
                throw Error{Exit::needs_decision, "attempt-open", mend, "then run the same command again"};
            if (!told)
                context_.events.warn(mend + "; the stream waits for that");
            context_.interrupt.wait_for(look_again);
            context_.interrupt.check();
            if (lease_->wanted())
                give_way();
        }
    }

    void give_way() {
        context_.events.info("another verb works on the service: the stream waits for it");
        lease_.reset();
        while (!take_lease()) {
            context_.interrupt.wait_for(slice);
            context_.interrupt.check();
        }
    }

    // Each side has its own record of who takes writes; a server that was restored from a backup may have an old one.
    void require_agreement(Route const& way) const {
        pg::Session other{other_database(context_, service_, "sync")};
        std::string const expected = way.back ? "database" : "shared";
        auto const there = authority_recorded(other, stream_name_);
        if (there && *there != expected)
            throw Error{Exit::needs_decision, "authority-disputed",
                        fmt::format("the shared database says that {} is {}, the other one that its authority is \"{}\"", service_, outcome_.phase, *there),
                        "one of the servers has lost its last transactions (restored, failed over): find out which rows are right before "
                        "anything is streamed; nothing was applied"};
    }

    void watch_log(Route const& way) {
        if (guarded_ && guarded_->name == way.name)
            return;
        guard_.reset();
        guarded_ = way;
        guard_.emplace(context_, *guarded_, options_);
    }

    void stream(Route const& way) {
        watch_log(way);
        require_agreement(way);
        pg::Session source{way.source("sync")};
        auto const apart = read_apart(way);
        if (!apart.returning.empty()) {
            if (!mend(context_, way, session_, source, apart, options_, events_, outcome_, wake_.get(), [this] { return lease_->wanted(); }))
                give_way();
            return; // and look again
        }
        require_published(way, source);
        auto const tables = read_mapping(way, source, apart.left, TargetFirst::accepted);
        for (auto const& table : tables.tables()) {
            for (auto const& column : table.to_come)
                context_.events.warn(fmt::format("column {} of {} is in the target only: the stream leaves it alone until the source has it", column, table.target.display()));
        }
        if (!apart.left.empty())
            context_.events.warn(fmt::format("{} tables of {} are set aside: `pgcarve sync {} --bring-back TABLE` mends them", apart.left.size(), service_, service_));
        auto const stream = open_stream(context_, way, tables, wake_.get());
        std::optional<ReferenceStream> reference{std::in_place, context_, service_, database_, options_.limits()};
        std::optional<TouchedBound> bound{std::in_place, context_, way};
        LooseKeys loose{context_, service_, [this] { return options_.limits().throttle; }};
        OrphanWatch orphans{context_, service_};
        events_.ready(outcome_.phase);
        auto const end = options_.until_caught_up ? sync::mark(source) : base::Lsn{~std::uint64_t{0}};
        auto const reference_end = options_.until_caught_up ? sync::mark(session_) : end;
        auto const before = outcome_.transactions;
        auto reached = stream->applied();
        bool wanted = false;
        for (int round = 1; !wanted && !outcome_.caught_up && !context_.interrupt.requested(); ++round) {
            outcome_.caught_up = stream->run_until(end, slice, context_.interrupt) && reference->reached(reference_end);
            if (auto const at = stream->applied(); at > reached) {
                reached = at;
                patience_.well();
            }
            outcome_.transactions = before + stream->counts().transactions;
            if (round % slices_in_a_tick == 0 || outcome_.caught_up) {
                bound->look(stream->counts().touched_bytes, options_.limits().sync.max_touched); // the file may have changed
                tick(*stream);
                if (guard_->due())
                    require_published(way, source);
                (void)guard_->look(source);
                loose.drain(session_);
                orphans.look(session_);
            }
            wanted = lease_->wanted();
            if (guard_->drops())
                break;
        }
        stream->stop();
        bound.reset(); // nothing of it goes on when another verb has the lease
        if (guard_->drops() && !outcome_.caught_up)
            guard_->drop(source);
        if (wanted && !outcome_.caught_up) {
            reference.reset(); // its slot, too, is the other verb's to drop
            give_way();
        }
    }

    void tick(sync::Stream const& stream) const {
        auto const state = stream.state();
        auto const behind = state.received.value > state.durable.value && !state.idle ? state.received.value - state.durable.value : 0;
        events_.tick({outcome_.transactions, stream.counts().changes, static_cast<long long>(behind)});
    }

    Context& context_;
    std::string const& service_;
    SyncOptions const& options_;
    SyncEvents const& events_;
    SyncOutcome& outcome_;
    pg::WakeFd wake_{context_.interrupt};
    pg::Session session_;
    std::unique_ptr<control::Lease> lease_;
    Patience patience_{context_};
    std::optional<base::Lsn> changed_at_; // where the target was when the source's tables had changed
    std::optional<Route> guarded_; // what is streamed
    std::optional<WalGuard> guard_;
    model::DatabaseSetup database_;
    std::string stream_name_; // under which the other database keeps its record
};

} // namespace

void follow(Context& context, std::string const& service, SyncOptions const& options, SyncEvents const& events,
            std::unique_ptr<control::Lease> lease, SyncOutcome& outcome) {
    Following{context, service, options, events, std::move(lease), outcome}.run();
}

} // namespace pgcarve::run
