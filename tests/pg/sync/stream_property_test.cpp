// Goal: whatever several sessions write at once, and however often and wherever the stream is broken off, the target is in
// the end what the source is. Method: seeded random writers with savepoints, rollbacks, moves of keys, truncations and
// large values; meanwhile streams with random limits that run for a random time and are stopped, killed at either end, or
// thrown away; then one that catches up, and a comparison row by row. PGCARVE_SEED repeats a run's choices (not its timing).
#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "traffic.hpp"

namespace {

using namespace pgcarve;
using test::Dice;
using test::Pair;

std::uint64_t seed() {
    if (auto const* const given = std::getenv("PGCARVE_SEED"))
        return std::strtoull(given, nullptr, 10);
    return std::random_device{}();
}

void terminate(test::Server& server, std::string const& purpose) {
    server.connect().query(sql::Sql{"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "}.bind("pgcarve " + purpose));
}

sync::ReceiverLimits random_limits(Dice& dice) {
    sync::ReceiverLimits limits;
    if (dice.one_in(2))
        limits.batch_changes = static_cast<std::size_t>(dice.one_in(2) ? 1 : 1 + dice.below(50));
    if (dice.one_in(4))
        limits.batch_bytes = 1;
    limits.queued_batches = static_cast<std::size_t>(1 + dice.below(3));
    limits.status_interval = base::Millis{1 + dice.below(100)};
    return limits;
}

// One stream from its beginning to whatever end it meets.
void one_stream(Pair& pair, sync::Mapping const& tables, Dice& dice, std::map<std::string, int>& ends, long long& replayed) {
    pair.limits = random_limits(dice);
    auto stream = pair.stream(tables);
    auto const settings = pair.settings();
    auto const end = dice.below(5);
    std::thread killer;
    if (end < 2)
        killer = std::thread{[&, pause = base::Millis{dice.below(300)}] {
            std::this_thread::sleep_for(pause);
            if (end == 0)
                terminate(pair.source_server, settings.source.purpose);
            else
                terminate(pair.target_server, settings.target.purpose);
        }};
    base::Interrupt interrupt;
    std::string how = "thrown away";
    try {
        auto const until = end == 2 ? pair.now() : base::Lsn{~0ULL};
        auto const limit = end == 2 ? base::Millis{test::long_enough} : base::Millis{end < 2 ? 2'000 : dice.below(300)};
        bool const done = stream->run_until(until, limit, interrupt);
        if (end == 2 && !done)
            ADD_FAILURE() << "the stream does not catch up";
        if (end == 2 || end == 3) {
            stream->stop();
            how = "stopped";
        }
    } catch (base::Error const& e) {
        how = e.code();
        if (how != "server-lost" && how != "in-doubt")
            ADD_FAILURE() << e.what();
    }
    ++ends[how];
    replayed += stream->counts().replayed_batches;
    if (killer.joinable())
        killer.join();
    stream.reset();
    EXPECT_LE(pair.confirmed(), pair.position());
}

TEST(StreamProperty, BothSidesAreEqualInTheEnd) {
    auto const number = seed();
    SCOPED_TRACE(fmt::format("PGCARVE_SEED={}", number));
    fmt::print("PGCARVE_SEED={}\n", number);
    Dice dice{number};
    Pair pair{test::traffic_schema};
    auto const tables = pair.mapping();
    std::map<std::string, int> ends;
    long long replayed = 0;
    std::atomic<int> written{0};
    for (int round = 0; round < 3; ++round) {
        std::atomic<bool> stop{false};
        std::vector<std::thread> writers;
        for (int i = 0; i < 4; ++i)
            writers.emplace_back([&pair, &stop, &written, own = Dice{number * 100 + static_cast<std::uint64_t>(round * 10 + i)}] { test::write(pair, own, stop, written); });
        for (int i = 0; i < 14 && !::testing::Test::HasFailure(); ++i)
            one_stream(pair, tables, dice, ends, replayed);
        stop = true;
        for (auto& writer : writers)
            writer.join();
        pair.limits = random_limits(dice);
        auto const counts = pair.catch_up();
        replayed += counts.replayed_batches;
        fmt::print("round {}: {} transactions written, {} batches replayed in order\n", round, written.load(), replayed);
        pair.expect_equal();
    }
    for (auto const& [how, times] : ends)
        fmt::print("{}: {}\n", how, times);
    EXPECT_GT(written, 100);
    EXPECT_GT(replayed, 0);
}

} // namespace
