#include "run/stream/loose.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <set>

#include <fmt/format.h>

#include "mirror/throttle.hpp"
#include "plan/loose.hpp"
#include "run/stream/loose_places.hpp"
#include "sql/builder.hpp"

namespace pgcarve::run {

using base::Error;
using base::Millis;
using plan::LooseKey;
using sql::Sql;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int entries_at_once = 200;
constexpr int rows_at_once = 1'000;
constexpr int rows_told = 1'000'000; // of which a refusal says "at least"
constexpr Millis lock_wait{200};
constexpr std::chrono::seconds finish_within{60};

// Trouble that goes by, with nobody's help.
bool passing(pg::SqlError const& e) {
    static std::set<std::string_view> const states{pg::sqlstate::lock_not_available, pg::sqlstate::deadlock_detected, pg::sqlstate::serialization_failure,
                                                   pg::sqlstate::moved, pg::sqlstate::query_canceled};
    return states.contains(e.sqlstate());
}

struct Entry {
    long long id = 0;
    char op = 'd';
    std::string old; // arrays' text forms
    std::string now;
};

std::vector<std::string> olds_of(std::vector<Entry> const& entries) {
    std::set<std::string> olds;
    for (auto const& entry : entries)
        olds.insert(entry.old);
    return {olds.begin(), olds.end()};
}

std::set<std::string> column(pg::Rows const& rows, char const* name) {
    std::set<std::string> all;
    for (auto const row : rows)
        all.insert(row.text(name));
    return all;
}

// Entries that have not been found undoable; a database without a queue has none.
long long waiting(pg::Session& session, std::string const& service) {
    if (!session.one(Sql{"SELECT to_regclass('pgcarve.loose_queue') IS NOT NULL AS there"}).boolean("there"))
        return 0;
    return session.one(Sql{"SELECT count(*) AS n FROM pgcarve.loose_queue WHERE problem IS NULL AND service = "}.bind(service)).integer("n");
}

// The entries of one referenced key at one server.
class Queue {
public:
    Queue(pg::Session& session, std::string const& service, std::string const& reference) : session_{session}, service_{service}, reference_{reference} {}

    // In the order in which they were noted. What follows a change that could not be done yet waits for it.
    std::vector<Entry> due() {
        Sql sql{"SELECT q.id, q.op, q.old::text AS old, q.new::text AS new FROM pgcarve.loose_queue AS q WHERE q.service = "};
        sql.bind(service_).add(" AND q.reference = ").bind(reference_);
        sql.add(" AND q.next_try <= clock_timestamp() AND NOT EXISTS (SELECT FROM pgcarve.loose_queue AS e WHERE e.service = q.service"
                " AND e.reference = q.reference AND e.op = 'u' AND e.id < q.id AND e.next_try > clock_timestamp()"
                " AND (e.new = q.old OR e.old = q.old)) ORDER BY q.id LIMIT ");
        std::vector<Entry> entries;
        for (auto const row : session_.query(sql.number(entries_at_once)))
            entries.push_back({row.integer("id"), row.letter("op"), row.text("old"), row.maybe("new").value_or("{}")});
        return entries;
    }

    void drop(std::vector<Entry> const& entries) {
        if (entries.empty())
            return;
        session_.query(Sql{"DELETE FROM pgcarve.loose_queue WHERE id = ANY ("}.bind(ids(entries)).add("::bigint[])"));
    }

    // `problem`: what an operator has to see; none where it goes by.
    void put_off(std::vector<Entry> const& entries, std::optional<std::string> const& problem, long long rows) {
        if (entries.empty())
            return;
        Sql sql{"UPDATE pgcarve.loose_queue SET problem = "};
        sql.bind(problem).add(", child_rows = ").number(rows).add(", next_try = clock_timestamp() + ");
        if (problem) // 10 seconds after the first failure, up to 10 minutes later on
            sql.add("least(greatest(clock_timestamp() - queued_at, interval '10 seconds'), interval '10 minutes')");
        else
            sql.add("interval '1 second'");
        session_.query(sql.add(" WHERE id = ANY (").bind(ids(entries)).add("::bigint[])"));
    }

private:
    static std::string ids(std::vector<Entry> const& entries) {
        std::string list = "{";
        for (auto const& entry : entries)
            list += fmt::format("{}{}", list.size() > 1 ? "," : "", entry.id);
        return list + "}";
    }

    pg::Session& session_;
    std::string const& service_;
    std::string const& reference_;
};

// One key, with where its two tables are now.
struct At {
    LooseKey const& key;
    pg::Session& parent;
    sql::QName parent_table;
    pg::Session& child;
    sql::QName child_table;
    plan::LooseTypes types;

    std::set<std::string> absent(std::vector<std::string> const& olds) const {
        return column(parent.query(plan::absent_keys(key, types, parent_table, olds)), "old");
    }
};

class Worker {
public:
    Worker(Context& context, std::vector<At> keys, Queue queue, Clock::time_point deadline)
        : context_{context}, keys_{std::move(keys)}, queue_{std::move(queue)}, deadline_{deadline} {}

    // False: there may be more.
    bool run() {
        for (;;) {
            auto const entries = queue_.due();
            if (entries.empty())
                return true;
            // Deletes as a set; a change by itself, since the next one may go on from it.
            for (std::size_t at = 0; at < entries.size();) {
                auto end = at + 1;
                while (entries[at].op == 'd' && end < entries.size() && entries[end].op == 'd')
                    ++end;
                bool const done = work({entries.begin() + static_cast<std::ptrdiff_t>(at), entries.begin() + static_cast<std::ptrdiff_t>(end)});
                if (Clock::now() >= deadline_ || context_.interrupt.requested())
                    return false;
                if (!done && entries[at].op == 'u')
                    break; // what follows is asked for again, without what waits for it
                at = end;
            }
        }
    }

private:
    bool work(std::vector<Entry> entries) {
        auto const gone = keys_.front().absent(olds_of(entries));
        auto const back = take(entries, [&](Entry const& entry) { return !gone.contains(entry.old); });
        queue_.drop(back);
        if (entries.empty())
            return true;
        try {
            for (auto const& at : keys_) {
                if (!act(at, entries))
                    return false; // some came back, or the time is over: from the beginning, the next time
            }
        } catch (pg::SqlError const& e) {
            if (passing(e)) {
                queue_.put_off(entries, std::nullopt, 0);
            } else if (entries.size() == 1) {
                auto const& at = *failed_;
                queue_.put_off(entries, fmt::format("{}: {}", at.key.text(), e.message()), referring(at, entries));
                context_.events.warn(fmt::format("loose foreign key {}: {}; tried again later", at.key.text(), e.message()));
            } else { // which of them is it?
                for (auto const& entry : entries)
                    work({entry});
                return true;
            }
            return false;
        }
        return finish(std::move(entries));
    }

    // False: not all of it is done.
    bool act(At const& at, std::vector<Entry> const& entries) {
        failed_ = &at;
        bool const deletes = entries.front().op == 'd';
        if (!plan::acts(at.key.key, deletes))
            return true;
        auto const olds = olds_of(entries);
        // A default may be a key that is gone as well: each row is set to it once.
        auto left = sets_default(at, deletes) ? referring(at, entries) : std::numeric_limits<long long>::max();
        while (left > 0) {
            pg::Transaction transaction{at.child};
            transaction.lock_timeout(lock_wait);
            auto const touched = at.child
                                     .query(deletes ? plan::delete_action(at.key, at.types, at.child_table, olds, rows_at_once)
                                                    : plan::update_action(at.key, at.types, at.child_table, entries.front().old, entries.front().now, rows_at_once))
                                     .affected();
            if (touched == 0)
                break; // the rest is finish()'s
            left -= static_cast<long long>(touched);
            // A parent that came back before this look may have children in what was just done; one that comes later has none.
            if (at.absent(olds).size() < olds.size())
                return false;
            context_.failpoints.hit("loose/batch/before");
            transaction.commit();
            context_.failpoints.hit("loose/batch/after");
            if (Clock::now() >= deadline_ || context_.interrupt.requested())
                return false;
        }
        return true;
    }

    static bool sets_default(At const& at, bool deletes) { return (deletes ? at.key.key.on_delete : at.key.key.on_update) == 'd'; }

    bool finish(std::vector<Entry> entries) {
        bool all = true;
        for (auto const& at : keys_) {
            auto const still = column(at.child.query(plan::referred_keys(at.key, at.types, at.child_table, olds_of(entries))), "old");
            auto const left = take(entries, [&](Entry const& entry) { return still.contains(entry.old); });
            if (left.empty())
                continue;
            all = false;
            bool const deletes = left.front().op == 'd';
            if (plan::acts(at.key.key, deletes) && !sets_default(at, deletes)) {
                queue_.put_off(left, std::nullopt, 0); // somebody holds the rows
                continue;
            }
            for (auto const& entry : left) {
                auto const rows = referring(at, {entry});
                queue_.put_off({entry}, fmt::format("{}: {} row(s) refer to {}, which is gone, and the key has no action for them", at.key.text(), rows, entry.old), rows);
            }
        }
        queue_.drop(entries);
        return all;
    }

    static long long referring(At const& at, std::vector<Entry> const& entries) {
        return at.child.one(plan::referring_rows(at.key, at.types, at.child_table, olds_of(entries), rows_told)).integer("n");
    }

    template <typename Which>
    static std::vector<Entry> take(std::vector<Entry>& from, Which const& which) {
        auto const middle = std::stable_partition(from.begin(), from.end(), [&](Entry const& e) { return !which(e); });
        std::vector<Entry> taken{middle, from.end()};
        from.erase(middle, from.end());
        return taken;
    }

    Context& context_;
    std::vector<At> keys_; // never empty; all of one parent
    Queue queue_;
    Clock::time_point deadline_;
    At const* failed_ = nullptr;
};

} // namespace

struct LooseKeys::Impl {
    Context& context;
    std::string service;
    Places places;
    std::vector<LooseKey> keys;
    std::string version;
    std::string last_trouble;
    bool idle = true;

    std::function<model::Throttle()> limits;

    Impl(Context& given, std::string name, std::function<model::Throttle()> throttle)
        : context{given}, service{std::move(name)}, places{given}, limits{std::move(throttle)} {}

    void read(pg::Session& shared) {
        auto const now = shared.one(Sql{"SELECT count(*) || ' ' || coalesce(max(changed_at)::text, '') AS v FROM pgcarve.service"}).text("v");
        if (now == version)
            return;
        auto const states = control::Store{shared}.services();
        places.read(states);
        keys.clear();
        auto const at = std::ranges::find(states, service, &control::ServiceState::name);
        if (at != states.end() && at->setup && at->setup->database)
            keys = plan::loose_keys(*at->setup, at->setup->database->severed);
        version = now;
    }

    std::vector<At> located(pg::Session& shared, std::vector<LooseKey const*> const& of_one_parent) {
        std::vector<At> all;
        for (auto const* key : of_one_parent) {
            auto const parent = places.of(key->key.parent, shared);
            auto const child = places.of(key->key.child, shared);
            all.push_back({*key, parent.session, parent.table, child.session, child.table, places.types(*key, parent, child)});
        }
        return all;
    }

    void one(pg::Session& shared, std::vector<LooseKey const*> const& keys_of_parent, Clock::time_point deadline) {
        auto& noted = keys_of_parent.front()->key.parent_moves ? places.own(service) : shared;
        auto const& reference = keys_of_parent.front()->reference;
        Queue queue{noted, service, reference};
        if (queue.due().empty())
            return;
        auto at = located(shared, keys_of_parent);
        for (auto const& key : at) {
            if (auto const reason = mirror::throttle_reason(key.child, limits ? limits() : context.map.throttle); !reason.empty()) {
                tell("loose foreign keys wait: " + reason);
                idle = false;
                return;
            }
        }
        if (!Worker{context, std::move(at), queue, deadline}.run())
            idle = false;
    }

    void tell(std::string const& trouble) {
        if (trouble != last_trouble)
            context.events.warn(trouble);
        last_trouble = trouble;
    }
};

LooseKeys::LooseKeys(Context& context, std::string service, std::function<model::Throttle()> throttle)
    : impl_{std::make_unique<Impl>(context, std::move(service), std::move(throttle))} {}
LooseKeys::~LooseKeys() = default;
bool LooseKeys::idle() const { return impl_->idle; }

void LooseKeys::drain(pg::Session& shared, Millis budget) {
    auto& my = *impl_;
    auto const deadline = Clock::now() + budget;
    my.idle = true;
    my.read(shared);
    std::map<std::pair<bool, std::string>, std::vector<LooseKey const*>> by_parent;
    for (auto const& key : my.keys)
        by_parent[{key.key.parent_moves, key.reference}].push_back(&key);
    for (auto const& [reference, keys] : by_parent) {
        if (Clock::now() >= deadline || my.context.interrupt.requested()) {
            my.idle = false;
            return;
        }
        try {
            my.one(shared, keys, deadline);
        } catch (Error const& e) {
            my.idle = false;
            my.places.forget();
            if (!shared.alive()) // the caller's to mend
                throw;
            my.tell(fmt::format("loose foreign keys of {}: {}", reference.second, e.message()));
        }
    }
}

void finish_loose_keys(Context& context, std::string const& service, pg::Session& shared, pg::Session& other) {
    LooseKeys loose{context, service};
    for (auto const deadline = Clock::now() + finish_within; Clock::now() < deadline;) {
        loose.drain(shared, Millis{5'000});
        context.interrupt.check();
        if (loose.idle() && waiting(shared, service) + waiting(other, service) == 0)
            break;
        context.interrupt.wait_for(Millis{250});
    }
    for (auto* session : {&shared, &other}) {
        if (waiting(*session, service) == 0)
            continue;
        for (auto const row : session->query(Sql{"SELECT reference, count(*) AS n FROM pgcarve.loose_queue WHERE service = "}.bind(service).add(" GROUP BY 1 ORDER BY 1")))
            context.events.warn(fmt::format("{} key(s) of {} are gone, and rows that refer to them could not be brought in line", row.integer("n"), row.text("reference")));
        session->query(Sql{"DELETE FROM pgcarve.loose_queue WHERE service = "}.bind(service));
    }
    shared.query(Sql{"DELETE FROM pgcarve.loose_key WHERE service = "}.bind(service));
}

} // namespace pgcarve::run
