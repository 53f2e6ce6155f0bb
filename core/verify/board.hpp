// The work of one comparison, shared by its workers: what is to do, what was found.
//
// Threads: every member may be called from any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "verify/compare.hpp"

namespace pgcarve::verify {

// One range of one table; without a shape: the table is still to be opened and cut into ranges.
struct Item {
    std::size_t table = 0;
    std::size_t position = 0; // of the range within its table
    std::shared_ptr<PairShape const> shape;
    Range range;
};

struct ItemResult {
    std::int64_t rows = 0;
    std::int64_t missing = 0;
    std::int64_t extra = 0;
    std::int64_t different = 0;
    std::vector<model::Finding> samples;
    [[nodiscard]] bool clean() const { return missing + extra + different == 0; }
};

class Board {
public:
    Board(std::vector<model::TablePair> const& pairs, std::size_t max_samples);

    // Waits for the next item; nullopt when all is done or stopped.
    std::optional<Item> take();
    // The table was opened: its ranges, in order.
    void opened(Item const& item, std::shared_ptr<PairShape const> shape, std::vector<Range> ranges);
    void finished(Item const& item, ItemResult result);
    // The item's table cannot be compared to its end.
    void failed(Item const& item, std::string const& why);
    // Samples of this item would be dropped: earlier ranges have filled the quota.
    [[nodiscard]] bool samples_full(Item const& item) const;

    // Ends the work: unfinished tables are incomplete for this reason. The first reason stays.
    void stop(std::string const& why);
    void crash(std::exception_ptr error); // while working on an item: ends the work; result() rethrows
    [[nodiscard]] bool stopped() const;

    // True when nothing is left to do; returns after `limit` at the latest.
    bool wait(base::Millis limit);
    // True when no worker has an item; returns after `limit` at the latest.
    bool idle(base::Millis limit);
    [[nodiscard]] CompareProgress progress() const;
    [[nodiscard]] Comparison result();

private:
    struct Table {
        model::TableVerification verification;
        std::shared_ptr<PairShape const> shape;
        std::size_t items = 0; // known only once opened
        std::size_t items_done = 0;
        bool opened = false;
        bool failed = false;
        std::vector<std::pair<std::size_t, model::Finding>> samples; // by position, bounded
        std::vector<Range> dirty;
        [[nodiscard]] bool complete() const { return opened && items_done == items && !failed; }
    };
    [[nodiscard]] bool over() const { return stopped_ || (queue_.empty() && working_ == 0); }

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Item> queue_;
    std::vector<Table> tables_;
    std::size_t max_samples_;
    std::size_t working_ = 0;
    bool stopped_ = false;
    std::string stop_reason_;
    std::exception_ptr crash_;
};

} // namespace pgcarve::verify
