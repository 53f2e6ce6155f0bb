#include "run.hpp"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <memory>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "client.hpp"

namespace monolith {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::duration d) {
    return std::chrono::duration<double, std::milli>(d).count();
}

// Latencies in buckets of four per cent.
class Histogram {
public:
    void add(double ms) {
        auto const bucket =
            std::clamp(static_cast<int>(std::log(std::max(ms, 0.001) / 0.001) / std::log(1.04)), 0, 699);
        ++counts_[static_cast<std::size_t>(bucket)];
        max_ = std::max(max_, ms);
    }
    void merge(Histogram const& other) {
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            counts_[i] += other.counts_[i];
        }
        max_ = std::max(max_, other.max_);
    }
    [[nodiscard]] double quantile(double q) const {
        auto const total = std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
        auto rest = q * static_cast<double>(total);
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            rest -= static_cast<double>(counts_[i]);
            if (rest <= 0) {
                return std::min(max_, 0.001 * std::pow(1.04, static_cast<double>(i) + 1));
            }
        }
        return max_;
    }
    [[nodiscard]] double max() const { return max_; }

private:
    std::array<std::uint64_t, 700> counts_{};
    double max_ = 0;
};

struct Tally {
    std::uint64_t acknowledged = 0;
    std::uint64_t empty = 0; // committed, nothing written
    std::uint64_t in_doubt = 0;
    std::uint64_t retried = 0;
    std::uint64_t refused = 0;
    std::uint64_t reconnected = 0;
    std::map<std::string, std::uint64_t> errors;  // by SQLSTATE; what no retry mended
    std::map<std::string, std::uint64_t> retries; // by SQLSTATE
    std::map<std::string, std::uint64_t> kinds;   // acknowledged
    Histogram latency;
    double longest_retried_ms = 0;

    void merge(Tally const& o) {
        acknowledged += o.acknowledged;
        empty += o.empty;
        in_doubt += o.in_doubt;
        retried += o.retried;
        refused += o.refused;
        reconnected += o.reconnected;
        for (auto const& [state, n] : o.errors) {
            errors[state] += n;
        }
        for (auto const& [state, n] : o.retries) {
            retries[state] += n;
        }
        for (auto const& [kind, n] : o.kinds) {
            kinds[kind] += n;
        }
        latency.merge(o.latency);
        longest_retried_ms = std::max(longest_retried_ms, o.longest_retried_ms);
    }
};

class Stop {
public:
    void set() {
        std::lock_guard const lock{mutex_};
        stopped_ = true;
        changed_.notify_all();
    }
    [[nodiscard]] bool is_set() {
        std::lock_guard const lock{mutex_};
        return stopped_;
    }
    void wait_until(Clock::time_point when) { // or until set
        std::unique_lock lock{mutex_};
        changed_.wait_until(lock, when, [this] { return stopped_; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopped_ = false;
};

class Worker {
public:
    Worker(RunOptions const& options, Shop const& shop, LedgerWriter& ledger, Stop& stop, int number)
        : options_{options}
        , ledger_{ledger}
        , stop_{stop}
        , number_{number}
        , client_{shop, options.seed, number}
        , session_{options.dsn, Resolver{options.shared_schema, options.services, options.follow},
                   options.prepared, options.statement_timeout_ms, fmt::format("workload-{}", number)} {
        for (auto const& database : options.databases) {
            away_.try_emplace(database.first);
        }
    }

    void work() {
        auto const pause = options_.rate > 0 ? std::chrono::duration<double>{options_.clients / options_.rate}
                                             : std::chrono::duration<double>{0};
        auto next =
            Clock::now() + std::chrono::duration_cast<Clock::duration>(pause * number_ / options_.clients);
        while (!stop_.is_set()) {
            if (options_.rate > 0) {
                stop_.wait_until(next);
                next = std::max(next + std::chrono::duration_cast<Clock::duration>(pause),
                                Clock::now() - std::chrono::seconds{1});
            }
            one_transaction();
        }
    }

    void cancel() {
        session_.cancel();
        for (auto& [service, away] : away_) {
            std::lock_guard const lock{away.mutex};
            if (away.session) {
                away.session->cancel();
            }
        }
    }
    [[nodiscard]] Tally const& tally() const { return tally_; }
    [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_.load(); }

private:
    enum class Next { done, again, other };

    Kind const& choose() {
        auto const& kinds = mix();
        static int const total =
            std::accumulate(kinds.begin(), kinds.end(), 0, [](int n, Kind const& k) { return n + k.weight; });
        auto at = client_.below(total);
        for (auto const& kind : kinds) {
            at -= kind.weight;
            if (at < 0) {
                return kind;
            }
        }
        return kinds.front();
    }

    void one_transaction() {
        auto const began = Clock::now();
        auto const patience = began + std::chrono::duration_cast<Clock::duration>(
                                          std::chrono::duration<double>{options_.patience});
        auto const* kind = &choose();
        auto const isolation = client_.below(100);
        for (int attempt = 0; !stop_.is_set();) {
            try {
                auto const next = attempt_once(*kind, isolation < 85   ? "READ COMMITTED"
                                                      : isolation < 96 ? "REPEATABLE READ"
                                                                       : "SERIALIZABLE");
                if (next == Next::other) {
                    kind = &mix().front();
                    continue;
                }
                finished(*kind, milliseconds(Clock::now() - began), attempt > 0);
                return;
            } catch (InDoubt const& e) {
                note("in doubt", e.what());
                ++tally_.in_doubt;
                client_.forget_everything();
                return; // connects again with the next transaction
            } catch (SqlError const& e) {
                if (!may_retry(e) || Clock::now() > patience) {
                    ++tally_.errors[e.sqlstate];
                    note(kind->name.c_str(), e.what());
                    return;
                }
                ++tally_.retried;
                ++tally_.retries[e.sqlstate];
                ++attempt;
                if (attempt > 1 || e.lost) { // the first time at once
                    stop_.wait_until(Clock::now() + std::chrono::microseconds{500 + client_.below(500)} *
                                                        (1 << std::min(attempt, 7)));
                }
            }
        }
    }

    // A service's own database, and whether writes go there now.
    struct Away {
        bool here = false;
        std::mutex mutex; // of the pointer
        std::unique_ptr<Session> session{};
    };

    Session& session_for(Kind const& kind) {
        auto const at = away_.find(kind.service);
        if (at == away_.end() || !at->second.here) {
            return session_;
        }
        if (!at->second.session) {
            auto const schema = options_.services.find(kind.service);
            auto made = std::make_unique<Session>(
                options_.databases.at(kind.service),
                Resolver{options_.shared_schema, {{kind.service, schema == options_.services.end() ? kind.service : schema->second}}, false},
                options_.prepared, options_.statement_timeout_ms, fmt::format("workload-{}-{}", kind.service, number_));
            std::lock_guard const lock{at->second.mutex};
            at->second.session = std::move(made);
        }
        return *at->second.session;
    }

    // On to the next place where a service's tables may be: the shared schema, a schema of its own, a database of its own.
    bool turn(std::string const& service) {
        auto const at = away_.find(service);
        if (at != away_.end() && at->second.here) {
            at->second.here = false;
            return true;
        }
        bool const toggled = session_.resolver().toggle(service);
        if (at != away_.end() && session_.resolver().schema_of(service) == options_.shared_schema) {
            at->second.here = true;
            return true;
        }
        return toggled;
    }

    Next attempt_once(Kind const& kind, std::string_view isolation) {
        auto& session = session_for(kind);
        for (auto* const one : {&session_, &session}) {
            if (!one->connected()) {
                one->connect();
                ++tally_.reconnected;
            }
        }
        Transaction tx{session, ledger_, {client_.shop.tenant, number_, ++transactions_}, &session == &session_ ? nullptr : &session_};
        std::optional<Effect> effect;
        try {
            if (!kind.autocommit) {
                tx.begin(isolation);
            }
            effect = kind.run(client_, tx);
            if (effect && !kind.autocommit) {
                tx.commit(kind.name);
            }
        } catch (SqlError const&) {
            tx.rollback();
            throw;
        }
        if (!effect) {
            tx.rollback();
            return Next::other;
        }
        (*effect)();
        wrote_ = tx.wrote();
        return Next::done;
    }

    bool may_retry(SqlError const& e) {
        if (e.lost || e.sqlstate == "40001" || e.sqlstate == "40P01" || e.sqlstate == "55P03") {
            return true;
        }
        if (e.sqlstate == "57014" && stop_.is_set()) {
            return true; // cancelled by ourselves; the loop ends
        }
        bool const moved = e.sqlstate == "PGC01";
        tally_.refused += moved ? 1U : 0U;
        // A table that is nowhere (42P01) or a schema (3F000) has been moved or retired.
        if (!options_.follow || !(moved || e.sqlstate == "42P01" || e.sqlstate == "3F000")) {
            return false;
        }
        bool turned = false;
        for (auto const& service : concerned(e)) {
            turned = turn(service) || turned;
        }
        return turned;
    }

    // Of the services that the refused statement named, the one whose table or schema the message is about: a statement
    // may read one service's tables and write another's. All of them when the message names none.
    [[nodiscard]] std::set<std::string> concerned(SqlError const& e) {
        std::set<std::string> const named{e.services.begin(), e.services.end()};
        std::set<std::string> about;
        constexpr std::string_view separators = " .,:;\"";
        std::string_view const message{e.what()};
        for (std::size_t at = 0; at < message.size();) {
            auto const end = std::min(message.find_first_of(separators, at), message.size());
            auto const word = std::string{message.substr(at, end - at)};
            auto const owner = service_of(word);
            for (auto const& service : named) {
                if (service == owner || (e.sqlstate == "3F000" && word == session_.resolver().schema_of(service))) {
                    about.insert(service);
                }
            }
            at = end + 1;
        }
        return about.empty() ? named : about;
    }

    void finished(Kind const& kind, double ms, bool retried) {
        tally_.latency.add(ms);
        if (retried) {
            tally_.longest_retried_ms = std::max(tally_.longest_retried_ms, ms);
        }
        if (wrote_) {
            ++tally_.acknowledged;
            ++tally_.kinds[kind.name];
            acknowledged_ = tally_.acknowledged;
        } else {
            ++tally_.empty;
        }
    }

    void note(char const* what, char const* message) {
        constexpr int limit = 20;
        if (notes_++ < limit) {
            fmt::print(stderr, "client {}: {}: {}\n", number_, what, message);
        }
    }

    RunOptions const& options_;
    LedgerWriter& ledger_;
    Stop& stop_;
    int number_;
    Client client_;
    Session session_;
    std::map<std::string, Away> away_; // by service
    std::int64_t transactions_ = 0;
    Tally tally_;
    std::atomic<std::uint64_t> acknowledged_ = 0;
    bool wrote_ = false;
    int notes_ = 0;
};

std::string object(std::map<std::string, std::uint64_t> const& counts) {
    std::string out;
    for (auto const& [name, n] : counts) {
        out += fmt::format("{}\"{}\": {}", out.empty() ? "" : ", ", name, n);
    }
    return "{" + out + "}";
}

Shop prepare_shop(RunOptions const& options, LedgerWriter& ledger) {
    Session session{options.dsn, Resolver{options.shared_schema, options.services, options.follow}, false,
                    options.statement_timeout_ms, "workload-setup"};
    auto const slug = fmt::format("workload-{}-{}",
                                  std::chrono::system_clock::now().time_since_epoch().count(), options.seed);
    for (;;) {
        Transaction tx{session, ledger, {0, 0, 0}};
        try {
            tx.begin("READ COMMITTED");
            auto shop = open_shop(tx, slug);
            tx.belongs_to({shop.tenant, -1, 0});
            tx.commit("open_shop");
            ledger.header(shop.tenant, shop.total);
            shop.direct_partitions = options.direct_partitions;
            return shop;
        } catch (SqlError const& e) {
            tx.rollback();
            bool turned = false;
            if (options.follow && e.sqlstate == "PGC01") {
                for (auto const& service : options.services) {
                    turned = session.resolver().toggle(service.first) || turned;
                }
            }
            if (!turned) {
                throw;
            }
        }
    }
}

// Waits for a signal until `deadline`; calls every_second meanwhile.
template <class EverySecond>
void wait_for_signal(sigset_t const& signals, Clock::time_point deadline, EverySecond&& every_second) {
    auto tick = Clock::now();
    while (Clock::now() < deadline) {
        tick += std::chrono::seconds{1};
        auto const rest =
            std::max<Clock::duration>(std::min(tick, deadline) - Clock::now(), Clock::duration{0});
        timespec const timeout{
            static_cast<std::time_t>(std::chrono::duration_cast<std::chrono::seconds>(rest).count()),
            static_cast<long>((rest % std::chrono::seconds{1}).count())};
        if (sigtimedwait(&signals, nullptr, &timeout) > 0) {
            return;
        }
        every_second();
    }
}

} // namespace

int run_workload(RunOptions const& options) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    LedgerWriter ledger{options.ledger};
    auto const shop = prepare_shop(options, ledger);
    Stop stop;
    std::vector<std::unique_ptr<Worker>> workers;
    for (int i = 0; i < options.clients; ++i) {
        workers.push_back(std::make_unique<Worker>(options, shop, ledger, stop, i));
    }
    std::atomic<int> running = options.clients;
    std::atomic<bool> crashed = false;
    auto const began = Clock::now();
    std::vector<std::thread> threads;
    for (auto& worker : workers) {
        threads.emplace_back([&running, &crashed, &stop, w = worker.get()] {
            try {
                w->work();
            } catch (std::exception const& e) {
                fmt::print(stderr, "workload: {}\n", e.what());
                crashed = true;
                stop.set();
            }
            --running;
        });
    }

    std::uint64_t before = 0;
    auto const deadline = options.seconds > 0 ? began + std::chrono::duration_cast<Clock::duration>(
                                                            std::chrono::duration<double>{options.seconds})
                                              : Clock::time_point::max();
    wait_for_signal(signals, deadline, [&] {
        if (crashed) {
            pthread_kill(pthread_self(), SIGTERM); // ends the wait
        }
        if (options.progress) {
            std::uint64_t now = 0;
            for (auto const& worker : workers) {
                now += worker->acknowledged();
            }
            fmt::print(stderr, "{:6.0f} s {:6} tps {:9} acknowledged\n",
                       milliseconds(Clock::now() - began) / 1000, now - before, now);
            before = now;
        }
    });
    stop.set();
    auto const seconds = milliseconds(Clock::now() - began) / 1000;
    // Who still waits for a lock after a while is called off; its transaction rolls back.
    for (int waited = 1; running > 0; ++waited) {
        timespec const tenth{0, 100000000};
        sigtimedwait(&signals, nullptr, &tenth);
        for (auto& worker : workers) {
            if (waited % 100 == 0) {
                worker->cancel();
            }
        }
    }
    Tally all;
    for (std::size_t i = 0; i < workers.size(); ++i) {
        threads[i].join();
        all.merge(workers[i]->tally());
    }
    fmt::print("{{\"tenant\": {}, \"acknowledged\": {}, \"in_doubt\": {}, \"empty\": {}, \"retried\": {}, "
               "\"refused\": {}, "
               "\"reconnected\": {}, \"errors\": {}, \"retries\": {}, \"seconds\": {:.2f}, \"tps\": {:.1f}, "
               "\"latency_ms\": {{\"p50\": {:.2f}, \"p99\": {:.2f}, \"max\": {:.2f}}}, "
               "\"longest_retried_ms\": {:.2f}, \"kinds\": {}}}\n",
               shop.tenant, all.acknowledged, all.in_doubt, all.empty, all.retried, all.refused,
               all.reconnected, object(all.errors), object(all.retries), seconds,
               static_cast<double>(all.acknowledged) / seconds, all.latency.quantile(0.5),
               all.latency.quantile(0.99), all.latency.max(), all.longest_retried_ms, object(all.kinds));
    return all.errors.empty() && !crashed ? 0 : 1;
}

} // namespace monolith
