#include "mirror/backfill.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "mirror/throttle.hpp"

namespace pgcarve::mirror {

using base::Error;
using base::Exit;
using base::Millis;
using sql::Sql;
using Clock = std::chrono::steady_clock;
using Key = std::vector<std::string>; // one value per key column, as text

namespace {

constexpr long long first_chunk_rows = 500;
constexpr long long min_chunk_rows = 100;    // fewer only make room for locks: below it a commit's own cost is what takes the time
constexpr long long max_chunk_rows = 50'000; // bounds what one kill loses and how long a row lock is held
constexpr Millis chunk_lock_timeout{200};    // deadlock_timeout is a second: we lose, the application does not
constexpr Millis throttle_pause{1000};
constexpr int max_lock_failures = 200; // of one chunk in a row, at 50 ms to 1 s each

class Backfill {
public:
    Backfill(pg::Session& session, control::Lease const& lease, BackfillTable const& table,
             model::Throttle const& throttle, base::Interrupt& interrupt, BackfillEvents const& events)
        : session_{session}
        , lease_{lease}
        , table_{table}
        , throttle_{throttle}
        , interrupt_{interrupt}
        , events_{events}
        , mark_{control::Store{session}.backfill_mark(lease.service(), table.pair.source.quoted())} {
        for (auto const& column : table_.columns) {
            if (!column.generated)
                written_.push_back(column.name);
        }
    }

    long long run() {
        auto const before = mark_.rows;
        auto const started = Clock::now();
        session_.run("SET pgcarve.mirror = 'on'"); // the follower's fence lets the copy pass
        while (!mark_.finished) {
            wait_while_throttled();
            auto const chunk_started = Clock::now();
            if (!copy_chunk())
                continue;
            events_.after_chunk(table_.pair.source.name);
            auto const took = std::chrono::duration_cast<Millis>(Clock::now() - chunk_started);
            adapt(took);
            auto const seconds = std::chrono::duration<double>(Clock::now() - started).count();
            progress_.rows_per_second = seconds > 0 ? static_cast<double>(mark_.rows - before) / seconds : 0;
            report({});
            if (throttle_.nice > 0)
                interrupt_.wait_for(Millis{static_cast<long long>(static_cast<double>(took.count()) * throttle_.nice)});
            interrupt_.check();
        }
        session_.run("RESET pgcarve.mirror");
        return mark_.rows - before;
    }

private:
    void report(std::string const& throttled) {
        progress_.table = table_.pair.source.display();
        progress_.rows_done = mark_.rows;
        progress_.rows_estimated = table_.estimated_rows;
        progress_.throttled = throttled;
        events_.progress(progress_);
    }

    void wait_while_throttled() {
        for (;;) {
            interrupt_.check();
            auto const reason = throttle_reason(session_, throttle_);
            if (reason.empty())
                return;
            report(reason);
            interrupt_.wait_for(throttle_pause);
        }
    }

    // One chunk in one transaction; false when it lost against a lock and is to be tried again, smaller.
    bool copy_chunk() {
        try {
            pg::Transaction transaction{session_};
            transaction.lock_timeout(chunk_lock_timeout);
            auto next = mark_;
            auto const upper = upper_bound();
            next.rows += static_cast<long long>(session_.query(copy_statement(upper)).affected());
            next.last_key = upper;
            next.finished = !upper;
            control::Store{session_}.mark_backfill(lease_, table_.pair.source.quoted(), next);
            transaction.commit();
            mark_ = next;
            lock_failures_ = 0;
            return true;
        } catch (pg::SqlError const& e) {
            give_way(e);
            return false;
        }
    }

    // Returns when the chunk may be tried again; throws otherwise.
    void give_way(pg::SqlError const& e) {
        bool const mirrored_meanwhile = !table_.pair.key_immediate && e.sqlstate() == pg::sqlstate::unique_violation;
        bool const lock = mirrored_meanwhile || e.sqlstate() == pg::sqlstate::lock_not_available ||
                          e.sqlstate() == pg::sqlstate::deadlock_detected ||
                          e.sqlstate() == pg::sqlstate::serialization_failure;
        if (e.sqlstate() == pg::sqlstate::query_canceled)
            interrupt_.check();
        if (e.sqlstate() == pg::sqlstate::disk_full)
            throw Error{Exit::unavailable, "disk-full",
                        fmt::format("the server ran out of disk while copying {}", table_.pair.source.display()),
                        fmt::format("free space, then run `pgcarve split {}` again: it goes on where it stopped",
                                    lease_.service())}
                .with("server: " + e.message());
        if (!lock)
            throw Error{Exit::needs_decision, "backfill-refused",
                        fmt::format("{} refused rows of {}", table_.pair.target.display(), table_.pair.source.display()),
                        fmt::format("mend the cause, then run `pgcarve split {0}` again, or `pgcarve cancel {0}`",
                                    lease_.service())}
                .with("server: " + e.message());
        if (++lock_failures_ > max_lock_failures)
            throw Error{Exit::unavailable, "lock-not-acquired",
                        fmt::format("rows of {} stay locked by others", table_.pair.source.display()),
                        fmt::format("end the transactions that hold them, then run `pgcarve split {}` again",
                                    lease_.service())}
                .with("server: " + e.message());
        chunk_rows_ = std::max<long long>(chunk_rows_ / 2, 1);
        report("waiting for row locks of the application");
        interrupt_.wait_for(Millis{std::min(50 * lock_failures_, 1000)});
        interrupt_.check();
    }

    void adapt(Millis took) {
        auto const ratio = static_cast<double>(throttle_.chunk_time.count()) / static_cast<double>(std::max<long long>(took.count(), 1));
        auto const wanted = static_cast<double>(chunk_rows_) * std::clamp(ratio, 0.5, 2.0);
        chunk_rows_ = std::clamp(static_cast<long long>(wanted), std::min(chunk_rows_, min_chunk_rows), max_chunk_rows);
    }

    [[nodiscard]] std::string const& type_of(std::string const& name) const {
        auto const at = std::ranges::find(table_.columns, name, &BackfillColumn::name);
        if (at == table_.columns.end())
            base::bug("key column " + name + " is not a column");
        return at->type;
    }

    // ("a", "b") > ($1::type, $2::type)
    void compare_key(Sql& sql, Sql::Fixed op, Key const& key) const {
        sql.add("(").names(table_.pair.key).add(") ").add(op).add(" (");
        for (std::size_t i = 0; i < key.size(); ++i) {
            if (i > 0)
                sql.add(", ");
            sql.bind(key[i]).add("::").server_text(type_of(table_.pair.key[i]));
        }
        sql.add(")");
    }

    // The key at which this chunk ends; nullopt when it runs to the end of the table.
    [[nodiscard]] std::optional<Key> upper_bound() const {
        auto sql = Sql{"SELECT "};
        for (std::size_t i = 0; i < table_.pair.key.size(); ++i)
            sql.server_text(i > 0 ? ", s." : "s.").add(sql::Ident{table_.pair.key[i]}).add("::text");
        sql.add(" FROM ").add(table_.pair.source).add(" AS s");
        if (mark_.last_key) {
            sql.add(" WHERE ");
            compare_key(sql, ">", *mark_.last_key);
        }
        // Qualified: a bare name would be the output column, which is text.
        sql.add(" ORDER BY ").names(table_.pair.key, "s").add(" OFFSET ").number(chunk_rows_ - 1).add(" LIMIT 1");
        auto const row = session_.maybe_one(sql);
        if (!row)
            return std::nullopt;
        Key key;
        for (std::size_t i = 0; i < table_.pair.key.size(); ++i)
            key.push_back(row->text(static_cast<int>(i)));
        return key;
    }

    [[nodiscard]] Sql copy_statement(std::optional<Key> const& upper) const {
        auto sql = Sql{"INSERT INTO "};
        sql.add(table_.pair.target).add(" (").names(written_).add(") OVERRIDING SYSTEM VALUE SELECT ").names(written_, "s");
        sql.add(" FROM ").add(table_.pair.source).add(" AS s WHERE true");
        if (mark_.last_key) {
            sql.add(" AND ");
            compare_key(sql, ">", *mark_.last_key);
        }
        if (upper) {
            sql.add(" AND ");
            compare_key(sql, "<=", *upper);
        }
        if (!table_.pair.key_immediate) {
            // A deferrable key cannot serve ON CONFLICT; a row mirrored in the same instant makes the commit
            // fail on the key, and the chunk is tried again.
            sql.add(" AND NOT EXISTS (SELECT FROM ").add(table_.pair.target).add(" AS t WHERE (");
            sql.names(table_.pair.key, "t").add(") = (").names(table_.pair.key, "s").add("))");
        }
        sql.add(" FOR KEY SHARE OF s");
        if (table_.pair.key_immediate)
            sql.add(" ON CONFLICT (").names(table_.pair.key).add(") DO NOTHING");
        return sql;
    }

    pg::Session& session_;
    control::Lease const& lease_;
    BackfillTable const& table_;
    model::Throttle const& throttle_;
    base::Interrupt& interrupt_;
    BackfillEvents const& events_;
    control::Store::BackfillMark mark_;
    std::vector<std::string> written_;
    BackfillProgress progress_;
    long long chunk_rows_ = first_chunk_rows;
    int lock_failures_ = 0;
};

} // namespace

long long backfill_table(pg::Session& session, control::Lease const& lease, BackfillTable const& table,
                         model::Throttle const& throttle, base::Interrupt& interrupt, BackfillEvents const& events) {
    return Backfill{session, lease, table, throttle, interrupt, events}.run();
}

} // namespace pgcarve::mirror
