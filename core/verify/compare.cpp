#include "verify/compare.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "verify/board.hpp"
#include "verify/pair_ranges.hpp"
#include "verify/snapshot.hpp"

namespace pgcarve::verify {

namespace {

using Clock = std::chrono::steady_clock;
using sql::Sql;

// Several workers share the load on purpose: parallel plans below them would take more sessions than asked for.
// work_mem bounds the hashes and sorts where the key's index is no help.
constexpr char const* worker_settings = "SET jit = off; SET max_parallel_workers_per_gather = 0; SET work_mem = '32MB'";

class Worker {
public:
    Worker(pg::SessionSettings const& settings, Board& board, Snapshot const& moment, CompareOptions const& options,
           std::vector<model::TablePair> const& pairs)
        : session_{settings}
        , board_{board}
        , pairs_{pairs}
        , snapshot_{moment.id}
        , options_{options} {
        session_.run(worker_settings);
    }

    void run() {
        while (auto const item = board_.take()) {
            work(*item);
        }
    }

    void cancel() noexcept { session_.cancel(); }

private:
    void work(Item const& item) {
        try {
            pg::Transaction transaction{session_, pg::Isolation::repeatable_read, pg::Access::read_only};
            session_.run("SET TRANSACTION SNAPSHOT " + sql::literal(snapshot_));
            if (item.shape) {
                auto result = compare_item(item);
                transaction.abort();
                board_.finished(item, std::move(result));
            } else {
                auto shape = std::make_shared<PairShape const>(read_shape(session_, pair(item)));
                auto ranges = cut_pair(session_, *shape, options_.rows_per_item, std::numeric_limits<double>::infinity(), options_.where);
                transaction.abort();
                board_.opened(item, std::move(shape), std::move(ranges));
            }
        } catch (Incomparable const& e) {
            board_.failed(item, e.what());
        } catch (pg::SqlError const& e) {
            if (board_.stopped())
                board_.failed(item, {}); // cancelled by us; the reason is the board's
            else
                board_.failed(item, fmt::format("{} ({})", e.message().substr(0, e.message().find('\n')), e.sqlstate()));
        } catch (...) {
            board_.crash(std::current_exception());
        }
    }

    [[nodiscard]] model::TablePair const& pair(Item const& item) const { return pairs_[item.table]; }

    ItemResult compare_item(Item const& item) {
        Scope scope;
        scope.range = item.range;
        scope.where = options_.where;
        auto found = compare_range(session_, *item.shape, scope, board_.samples_full(item) ? 0 : options_.max_samples,
                                   options_.show_values ? options_.max_samples : 0);
        return {found.counts.rows, found.counts.missing, found.counts.extra, found.counts.different, std::move(found.samples)};
    }

    pg::Session session_;
    Board& board_;
    std::vector<model::TablePair> const& pairs_;
    std::string snapshot_;
    CompareOptions const& options_;
};

bool names_pair(std::string const& name, model::TablePair const& pair) {
    auto const is = [&](sql::QName const& table) {
        return name == table.display() || name == table.schema + "." + table.name;
    };
    return name == pair.source.name || is(pair.source) || is(pair.target);
}

// Looks after running workers from the calling thread: progress, limits, interrupts.
class Supervisor {
public:
    Supervisor(Board& board, CompareOptions const& options, CompareEvents const& events)
        : board_{board}
        , options_{options}
        , events_{events} {}

    void watch() {
        while (!board_.wait(base::Millis{100})) {
            report();
            if (events_.interrupted && events_.interrupted()) {
                interrupted_ = true;
                board_.stop("interrupted");
            } else if (options_.max_duration && Clock::now() - begin_ >= *options_.max_duration) {
                board_.stop(fmt::format("the time allowed ({}) was used up", base::format_duration(*options_.max_duration)));
            }
        }
    }

    void report() const {
        if (!events_.progress)
            return;
        auto progress = board_.progress();
        if (double const time = seconds(); time > 0)
            progress.rows_per_second = static_cast<double>(progress.rows_done) / time;
        events_.progress(progress);
    }

    [[nodiscard]] double seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }
    [[nodiscard]] bool interrupted() const { return interrupted_; }

private:
    Board& board_;
    CompareOptions const& options_;
    CompareEvents const& events_;
    Clock::time_point begin_ = Clock::now();
    bool interrupted_ = false;
};

} // namespace

std::vector<std::size_t> choose_pairs(std::vector<std::string> const& names, std::vector<model::TablePair> const& pairs) {
    std::set<std::size_t> chosen;
    for (auto const& name : names) {
        auto const before = chosen.size();
        for (std::size_t i = 0; i < pairs.size(); ++i) {
            if (names_pair(name, pairs[i]))
                chosen.insert(i);
        }
        if (chosen.size() == before && std::ranges::none_of(pairs, [&](auto const& p) { return names_pair(name, p); }))
            throw base::Error{base::Exit::usage, "unknown-table", fmt::format("no table of this service is named {}", name)};
    }
    for (std::size_t i = 0; names.empty() && i < pairs.size(); ++i)
        chosen.insert(i);
    return {chosen.begin(), chosen.end()};
}

Comparison compare_and_locate(pg::SessionSettings const& settings, std::string const& service,
                              std::vector<model::TablePair> const& all_pairs, CompareOptions const& options,
                              CompareEvents const& events) {
    auto const numbers = choose_pairs(options.tables, all_pairs);
    std::vector<model::TablePair> pairs;
    for (auto const number : numbers)
        pairs.push_back(all_pairs[number]);
    auto const cores = static_cast<int>(std::thread::hardware_concurrency());
    auto const count = static_cast<std::size_t>(options.workers > 0 ? options.workers : std::clamp(cores, 2, 4));

    Snapshot const moment{settings};
    Board board{pairs, options.max_samples};
    std::vector<std::unique_ptr<Worker>> workers;
    for (std::size_t i = 0; i < count; ++i)
        workers.push_back(std::make_unique<Worker>(settings, board, moment, options, pairs));
    Supervisor supervisor{board, options, events};
    {
        std::vector<std::jthread> threads;
        // Whatever happens here, the threads must come to an end before they are joined. A cancellation that
        // arrives between two statements is lost, so it is repeated.
        struct Stop {
            Board& board;
            std::vector<std::unique_ptr<Worker>>& workers;
            ~Stop() {
                board.stop("interrupted");
                while (!board.idle(base::Millis{0})) {
                    for (auto const& worker : workers)
                        worker->cancel();
                    board.idle(base::Millis{50});
                }
            }
        };
        threads.reserve(workers.size());
        Stop const stop{board, workers};
        for (auto const& worker : workers)
            threads.emplace_back([&worker = *worker] { worker.run(); });
        supervisor.watch();
    }
    auto result = board.result();
    result.interrupted = supervisor.interrupted();
    for (auto& dirty : result.dirty)
        dirty.pair = numbers[dirty.pair];
    result.verification.service = service;
    result.verification.proven_lsn = moment.lsn;
    result.verification.proven_time = moment.time;
    result.verification.seconds = supervisor.seconds();
    supervisor.report();
    return result;
}

} // namespace pgcarve::verify
