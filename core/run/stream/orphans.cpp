#include "run/stream/loose.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "plan/loose.hpp"
#include "run/stream/route.hpp"
#include "sql/builder.hpp"

namespace pgcarve::run {

using base::Error;
using base::Millis;
using sql::Sql;

namespace {

constexpr Millis longest_count{3'600'000};
constexpr std::chrono::seconds look_again{60};

// nullopt: one of the tables is not there.
std::optional<bool> proven(pg::Session& shared, model::SeveredKey const& key) {
    Sql sql{"SELECT to_regclass("};
    sql.bind(key.child.quoted()).add(") IS NOT NULL AND to_regclass(").bind(key.parent.quoted());
    sql.add(") IS NOT NULL AS there, EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND convalidated AND conrelid = to_regclass(").bind(key.child.quoted());
    auto const row = shared.one(sql.add(") AND conname = ").bind(key.name).add(") AS proven"));
    return row.boolean("there") ? std::optional{row.boolean("proven")} : std::nullopt;
}

// nullopt: it takes too long.
std::optional<long long> count(pg::Session& shared, model::SeveredKey const& key, Millis limit) {
    auto const known = proven(shared, key);
    if (!known || *known)
        return 0;
    try {
        pg::Transaction transaction{shared, pg::Isolation::read_committed, pg::Access::read_only};
        transaction.statement_timeout(limit);
        return shared.one(plan::orphan_count(key, key.child, key.parent)).integer("n");
    } catch (pg::SqlError const& e) {
        if (e.sqlstate() != pg::sqlstate::query_canceled)
            throw;
        return std::nullopt;
    }
}

std::string text(model::SeveredKey const& key) { return plan::LooseKey{key, key.parent, {}}.text(); }

} // namespace

std::optional<std::vector<model::OrphanCount>> count_orphans(pg::Session& shared, std::vector<model::SeveredKey> const& keys, Millis limit) {
    std::vector<model::OrphanCount> all;
    for (auto const& key : keys) {
        auto const n = count(shared, key, limit);
        if (!n)
            return std::nullopt;
        all.push_back({text(key), *n, {}});
    }
    return all;
}

struct OrphanWatch::Impl {
    Context& context;
    std::string service;
    std::optional<pg::Session> session;
    std::chrono::steady_clock::time_point next{};
    std::atomic<bool> stop{false};
    std::atomic<bool> runs{false};
    std::thread thread;

    Impl(Context& given, std::string name) : context{given}, service{std::move(name)} {}

    void count_all(std::vector<model::SeveredKey> const& keys) {
        try {
            for (auto const& key : keys) {
                if (stop)
                    break;
                auto const n = count(*session, key, longest_count);
                if (!n)
                    continue; // broken off; what was known stays
                Sql sql{"INSERT INTO pgcarve.loose_key (service, key, orphans) VALUES ("};
                sql.bind(service).add(", ").bind(text(key)).add(", ").number(*n);
                session->query(sql.add(") ON CONFLICT (service, key) DO UPDATE SET orphans = EXCLUDED.orphans, counted_at = clock_timestamp()"));
            }
        } catch (Error const& e) {
            context.events.warn(fmt::format("orphans could not be counted: {}", e.message()));
        }
        runs = false;
    }
};

OrphanWatch::OrphanWatch(Context& context, std::string service) : impl_{std::make_unique<Impl>(context, std::move(service))} {}

OrphanWatch::~OrphanWatch() {
    impl_->stop = true;
    if (impl_->thread.joinable()) {
        impl_->session->cancel();
        impl_->thread.join();
    }
}

void OrphanWatch::look(pg::Session& shared) {
    auto& my = *impl_;
    auto const now = std::chrono::steady_clock::now();
    if (my.runs || now < my.next)
        return;
    my.next = now + look_again;
    if (my.thread.joinable())
        my.thread.join();
    auto const state = control::Store{shared}.service(my.service);
    if (!state || !state->setup || !state->setup->database)
        return;
    std::vector<model::SeveredKey> due;
    for (auto const& key : plan::loose_keys(*state->setup, state->setup->database->severed)) {
        Sql sql{"SELECT 1 AS x FROM pgcarve.loose_key WHERE counted_at > clock_timestamp() - interval '1 day' AND service = "};
        if (!shared.maybe_one(sql.bind(my.service).add(" AND key = ").bind(text(key.key))))
            due.push_back(key.key);
    }
    if (due.empty())
        return;
    if (!my.session || !my.session->alive())
        my.session.emplace(my.context.shared("orphans"));
    my.runs = true;
    my.thread = std::thread{[&my, due = std::move(due)] { my.count_all(due); }};
}

std::optional<model::LooseStatus> loose_status(Context& context, pg::Session& shared, control::ServiceState const& state) {
    if (!state.setup || !state.setup->database)
        return std::nullopt;
    auto const keys = plan::loose_keys(*state.setup, state.setup->database->severed);
    if (keys.empty())
        return std::nullopt;
    model::LooseStatus status;
    status.waiting = 0;
    auto const add = [&](pg::Session& session) {
        Sql sql{"SELECT count(*) AS waiting, count(problem) AS refused, min(problem) AS problem, coalesce(extract(epoch FROM clock_timestamp() - "
                "min(queued_at) FILTER (WHERE problem IS NULL)), 0)::float8 AS oldest FROM pgcarve.loose_queue WHERE service = "};
        auto const row = session.one(sql.bind(state.name));
        *status.waiting += row.integer("waiting");
        status.refused += row.integer("refused");
        status.oldest_seconds = std::max(status.oldest_seconds, row.real("oldest"));
        if (!status.problem)
            status.problem = row.maybe("problem");
    };
    add(shared);
    if (std::ranges::any_of(keys, [](plan::LooseKey const& key) { return key.key.parent_moves; })) {
        try {
            pg::Session other{other_database(context, state.name, "status")};
            if (other.one(Sql{"SELECT to_regclass('pgcarve.loose_queue') IS NOT NULL AS there"}).boolean("there"))
                add(other);
        } catch (Error const&) {
            status.waiting.reset();
        }
    }
    Sql sql{"SELECT key, orphans, to_char(counted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS at FROM pgcarve.loose_key WHERE service = "};
    for (auto const row : shared.query(sql.bind(state.name).add(" ORDER BY key COLLATE \"C\"")))
        status.orphans.push_back({row.text("key"), row.integer("orphans"), row.text("at")});
    return status;
}

} // namespace pgcarve::run
