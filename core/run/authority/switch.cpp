#include "run/authority/switch.hpp"

#include <algorithm>
#include <chrono>
#include <random>

#include <fmt/format.h>

#include "pg/retry.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using base::Millis;
using Clock = SwitchClock;

namespace {

// Autovacuum yields to a waiting lock after deadlock_timeout (1 s unless changed), so this one has to wait longer.
constexpr Millis quiet_lock_timeout{5000};
constexpr Millis first_lock_timeout{10};
constexpr Millis longest_lock_timeout{400}; // below deadlock_timeout
constexpr int max_tries = 60;

std::string table_list(std::vector<sql::QName> const& tables) {
    std::string list;
    for (auto const& table : tables)
        list += (list.empty() ? "" : ", ") + table.quoted();
    return list;
}

class Try {
public:
    Try(Context& context, pg::Session& session, Switch const& what, std::string const& verb)
        : context_{context}, session_{session}, what_{what}, verb_{verb} {}

    // Returns false when the lock was not free. `timing` is brought up to date either way.
    bool run(Millis lock_timeout, SwitchTiming& timing, std::function<void(SwitchTiming const&)> const& record) {
        pg::Transaction transaction{session_};
        Clock::time_point asked{};
        if (!lock_writers(transaction, what_.tables, what_.renames, lock_timeout, asked)) {
            transaction.abort();
            if (asked != Clock::time_point{})
                timing.worst_try_ms = std::max(timing.worst_try_ms, milliseconds_since(asked));
            return false;
        }
        context_.failpoints.hit(verb_ + "/switch/locked");
        if (!flip(context_, session_, what_.statements, what_.max_write_block, asked)) {
            transaction.abort();
            timing.worst_try_ms = std::max(timing.worst_try_ms, milliseconds_since(asked));
            return false;
        }
        timing.write_block_ms = milliseconds_since(asked);
        if (timing.write_block_ms > static_cast<double>(what_.max_write_block.count()))
            write_block_exceeded(timing.write_block_ms, what_.max_write_block);
        record(timing);
        context_.failpoints.hit(verb_ + "/switch/recorded");
        transaction.commit();
        timing.write_block_ms = milliseconds_since(asked);
        timing.worst_try_ms = std::max(timing.worst_try_ms, timing.write_block_ms);
        context_.failpoints.hit(verb_ + "/switch/committed");
        return true;
    }

private:
    Context& context_;
    pg::Session& session_;
    Switch const& what_;
    std::string const& verb_;
};

} // namespace

double milliseconds_since(SwitchClock::time_point start) {
    return std::chrono::duration<double, std::milli>(SwitchClock::now() - start).count();
}

void write_block_exceeded(double so_far_ms, base::Millis limit) {
    throw Error{Exit::unavailable, "write-block-exceeded",
                fmt::format("the switch had kept writers waiting for {:.0f} ms, the limit is {}", so_far_ms, base::format_duration(limit)),
                "nothing was changed; try at a quieter time, or raise max_write_block"};
}

bool flip(Context& context, pg::Session& session, std::vector<std::string> const& statements, Millis max_write_block, SwitchClock::time_point asked) {
    auto batch = fmt::format("SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};\n", std::min(max_write_block, longest_lock_timeout).count(),
                             max_write_block.count());
    for (auto const& statement : statements)
        batch += statement + ";\n";
    try {
        session.run(batch);
        return true;
    } catch (pg::SqlError const& e) {
        context.interrupt.check();
        if (e.sqlstate() == pg::sqlstate::lock_not_available || e.sqlstate() == pg::sqlstate::deadlock_detected)
            return false;
        if (e.sqlstate() == pg::sqlstate::query_canceled)
            write_block_exceeded(milliseconds_since(asked), max_write_block);
        throw Error{Exit::needs_decision, "switch-refused", fmt::format("the switch was rolled back: {}", e.message()),
                    "nothing was changed; `pgcarve doctor` shows what is wrong with the other direction"}
            .with("sqlstate: " + e.sqlstate());
    }
}

bool lock_writers(pg::Transaction& transaction, std::vector<sql::QName> const& tables, bool renames, Millis lock_timeout,
                  SwitchClock::time_point& asked) {
    auto const list = table_list(tables);
    try {
        transaction.lock_timeout(quiet_lock_timeout);
        transaction.session().run("LOCK TABLE " + list + " IN SHARE UPDATE EXCLUSIVE MODE");
        transaction.lock_timeout(lock_timeout);
        asked = SwitchClock::now();
        transaction.session().run("LOCK TABLE " + list + (renames ? " IN ACCESS EXCLUSIVE MODE" : " IN SHARE ROW EXCLUSIVE MODE"));
        return true;
    } catch (pg::SqlError const& e) {
        if (e.sqlstate() != pg::sqlstate::lock_not_available && e.sqlstate() != pg::sqlstate::deadlock_detected)
            throw;
        return false;
    }
}

SwitchTiming keep_trying(Context& context, pg::Session& observer, std::vector<sql::QName> const& tables, Millis max_write_block,
                         std::string const& verb, std::function<bool(Millis, SwitchTiming&)> const& attempt) {
    SwitchTiming timing;
    std::minstd_rand random{std::random_device{}()};
    Millis lock_timeout = first_lock_timeout;
    auto const longest = std::clamp(max_write_block / 2, first_lock_timeout, longest_lock_timeout);
    std::vector<std::string> names;
    for (auto const& table : tables)
        names.push_back(table.quoted());
    for (timing.tries = 1;; ++timing.tries) {
        context.interrupt.check();
        if (attempt(std::min(lock_timeout, longest), timing))
            return timing;
        auto const blockers = pg::lock_holders(observer, names);
        if (timing.tries >= max_tries) {
            Error error{Exit::unavailable, "lock-not-acquired",
                        fmt::format("writers did not leave a gap for the switch in {} tries", max_tries),
                        "nothing was changed; end the sessions named above or wait for them, then run the same command again"};
            for (auto const& blocker : blockers)
                error.with("held by " + blocker.describe());
            throw std::move(error);
        }
        if (timing.tries % 5 == 0 && !blockers.empty())
            context.events.warn(fmt::format("{}: waiting for a gap between writers (try {}); {}", verb, timing.tries,
                                            blockers.front().describe()));
        if (timing.tries % 3 == 0)
            lock_timeout *= 2;
        // Writers that queued behind us go first; the pause grows so that a long transaction can end.
        std::uniform_int_distribution<long> pause{5, 20L * std::min(timing.tries, 25)};
        context.interrupt.wait_for(Millis{pause(random)});
    }
}

SwitchTiming perform_switch(Context& context, pg::Session& session, Switch const& what, std::string const& verb,
                            std::function<void(SwitchTiming const&)> const& record) {
    return keep_trying(context, session, what.tables, what.max_write_block, verb, [&](Millis lock_timeout, SwitchTiming& timing) {
        return Try{context, session, what, verb}.run(lock_timeout, timing, record);
    });
}

} // namespace pgcarve::run
