#include "run/authority/database_switch.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "pg/replication.hpp"
#include "pg/retry.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using base::Millis;
using sql::Sql;

namespace {

constexpr long long sequence_margin = 1000; // numbers that sessions drew, or keep in their cache, while the switch goes on

struct Handover {
    sql::QName target;
    ddl::SequenceState state;
};

std::vector<Handover> read_sequences(pg::Session& from, std::vector<ddl::SequenceHandover> const& sequences) {
    std::vector<Handover> all;
    for (auto const& one : sequences) {
        auto const row = from.one(ddl::read_sequence(one.source));
        all.push_back({one.target, {row.integer("value"), row.boolean("called"), row.integer("increment"), row.integer("minimum"), row.integer("maximum")}});
    }
    return all;
}

// setval() does not wait for the transaction's end: harmless on a side that nobody draws numbers from yet.
void write_sequences(pg::Session& to, std::vector<Handover> const& sequences) {
    for (auto const& one : sequences)
        to.query(ddl::write_sequence(one.target, one.state, sequence_margin));
}

class Switching {
public:
    Switching(Context& context, ServerSwitch const& what, sync::Stream& stream, pg::Session& old_side, pg::Session& new_side, ServerSwitchResult& result)
        : context_{context}, what_{what}, stream_{stream}, old_{old_side}, new_{new_side}, result_{result},
          old_marks_{what.forth.source("marker")}, new_marks_{what.back.source("marker")},
          new_system_{pg::Replication{{.dsn = what.back.source_dsn, .purpose = "identify"}}.identify().system_id} {}

    void run() {
        result_.timing = keep_trying(context_, old_, what_.locked, what_.max_write_block, what_.verb, [&](Millis lock_timeout, SwitchTiming& timing) {
            SwitchClock::time_point asked{};
            bool done = false;
            try {
                done = attempt(lock_timeout, timing, asked);
            } catch (...) {
                note_try(timing, asked);
                result_.timing = timing;
                throw;
            }
            note_try(timing, asked);
            if (!done && what_.release)
                what_.release();
            return done;
        });
    }

private:
    static void note_try(SwitchTiming& timing, SwitchClock::time_point asked) {
        if (asked != SwitchClock::time_point{})
            timing.worst_try_ms = std::max(timing.worst_try_ms, milliseconds_since(asked));
    }

    bool attempt(Millis lock_timeout, SwitchTiming& timing, SwitchClock::time_point& asked) {
        what_.catch_up(); // what writers commit from here to the lock is drained while they wait
        pg::Transaction open{new_};
        if (!keep_quiet(open))
            return false;
        pg::Transaction close{old_};
        auto const held = SwitchClock::now();
        if (what_.hold)
            what_.hold();
        if (!lock_writers(close, what_.locked, false, lock_timeout, asked))
            return false;
        if (what_.hold)
            asked = held; // pooled clients wait since then
        context_.failpoints.hit(what_.verb + "/switch/locked");
        drain(asked);
        compare(asked);
        if (!flip(context_, old_, what_.close, left(asked), asked) || !flip(context_, new_, what_.open, left(asked), asked))
            return false;
        write_sequences(new_, read_sequences(old_, what_.sequences));
        // Both sides are closed to everybody else: what the new side's log holds up to here came with the stream.
        sync::set_position(old_, what_.back.name, sync::mark(new_marks_), new_system_);
        what_.record_open();
        timing.write_block_ms = milliseconds_since(asked);
        what_.record_close(timing);
        left(asked);
        context_.failpoints.hit(what_.verb + "/switch/recorded");
        commit(close, open);
        timing.write_block_ms = milliseconds_since(asked);
        context_.failpoints.hit(what_.verb + "/switch/committed");
        return true;
    }

    void compare(SwitchClock::time_point asked) {
        try {
            what_.compare([&] { return left(asked); });
        } catch (pg::SqlError const& e) {
            context_.interrupt.check();
            if (e.sqlstate() == pg::sqlstate::query_canceled)
                write_block_exceeded(milliseconds_since(asked), what_.max_write_block);
            throw;
        }
    }

    void commit(pg::Transaction& close, pg::Transaction& open) {
        result_.decided = Decided::unknown;
        try {
            close.commit();
        } catch (pg::SqlError const&) { // an answer: it was rolled back
            result_.decided = Decided::no;
            throw;
        }
        result_.decided = Decided::yes;
        context_.failpoints.hit(what_.verb + "/switch/closed");
        open.commit();
        result_.opened = true;
    }

    // Autovacuum gives way to this, and the stream does not mind it.
    bool keep_quiet(pg::Transaction& open) {
        std::string list;
        for (auto const& table : what_.quiet)
            list += (list.empty() ? "" : ", ") + table.quoted();
        try {
            open.lock_timeout(Millis{5'000});
            new_.run("LOCK TABLE " + list + " IN SHARE UPDATE EXCLUSIVE MODE");
            return true;
        } catch (pg::SqlError const& e) {
            if (e.sqlstate() != pg::sqlstate::lock_not_available && e.sqlstate() != pg::sqlstate::deadlock_detected)
                throw;
            return false;
        }
    }

    // Whoever wrote has committed, and cannot write again: what is in the log before the marker is everything.
    void drain(SwitchClock::time_point asked) {
        if (stream_.run_until(sync::mark(old_marks_), left(asked), context_.interrupt))
            return;
        context_.interrupt.check();
        write_block_exceeded(milliseconds_since(asked), what_.max_write_block);
    }

    // Of the time that writers may wait.
    Millis left(SwitchClock::time_point asked) const {
        auto const gone = milliseconds_since(asked);
        auto const all = static_cast<double>(what_.max_write_block.count());
        if (gone >= all)
            write_block_exceeded(gone, what_.max_write_block);
        return Millis{std::max(1L, static_cast<long>(all - gone))};
    }

    Context& context_;
    ServerSwitch const& what_;
    sync::Stream& stream_;
    pg::Session& old_;
    pg::Session& new_;
    ServerSwitchResult& result_;
    pg::Session old_marks_;
    pg::Session new_marks_;
    std::string new_system_;
};

} // namespace

void switch_servers(Context& context, ServerSwitch const& what, sync::Stream& stream, pg::Session& old_side, pg::Session& new_side,
                    ServerSwitchResult& result) {
    Switching{context, what, stream, old_side, new_side, result}.run();
}

void open_other_side(Context& context, ServerSwitch const& what, pg::Session& old_side, pg::Session& new_side) {
    std::vector<std::string> tables;
    for (auto const& table : what.quiet)
        tables.push_back(table.quoted());
    pg::with_lock_retry(
        new_side, pg::LockPolicy{}, tables,
        [&](pg::Transaction&) {
            for (auto const& statement : what.open)
                new_side.run(statement);
            write_sequences(new_side, read_sequences(old_side, what.sequences));
            what.record_open();
        },
        [&context](int attempt, std::vector<pg::Blocker> const& blockers) {
            context.events.warn(fmt::format("opening the new side: a lock was not free (try {}){}", attempt,
                                            blockers.empty() ? "" : "; held by " + blockers.front().describe()));
        });
}

} // namespace pgcarve::run
