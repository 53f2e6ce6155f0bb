#include "verify/board.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pgcarve::verify {

Board::Board(std::vector<model::TablePair> const& pairs, std::size_t max_samples) : max_samples_{max_samples} {
    tables_.resize(pairs.size());
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        tables_[i].verification.source = pairs[i].source;
        tables_[i].verification.target = pairs[i].target;
        queue_.push_back({i, 0, nullptr, {}});
    }
}

std::optional<Item> Board::take() {
    std::unique_lock lock{mutex_};
    while (true) {
        changed_.wait(lock, [&] { return over() || !queue_.empty(); });
        if (over())
            return std::nullopt;
        auto item = std::move(queue_.front());
        queue_.pop_front();
        if (tables_[item.table].failed) {
            changed_.notify_all(); // perhaps that was the last one
            continue;
        }
        ++working_;
        return item;
    }
}

void Board::opened(Item const& item, std::shared_ptr<PairShape const> shape, std::vector<Range> ranges) {
    std::lock_guard const lock{mutex_};
    auto& table = tables_[item.table];
    table.opened = true;
    table.shape = shape;
    table.items = ranges.size();
    // A table that could not be cut may be the longest piece of all: begin it now.
    if (ranges.size() == 1)
        queue_.push_front({item.table, 0, shape, std::move(ranges.front())});
    else
        for (std::size_t i = 0; i < ranges.size(); ++i)
            queue_.push_back({item.table, i, shape, std::move(ranges[i])});
    --working_;
    changed_.notify_all();
}

void Board::finished(Item const& item, ItemResult result) {
    std::lock_guard const lock{mutex_};
    auto& table = tables_[item.table];
    auto& sum = table.verification;
    sum.rows += result.rows;
    sum.missing += result.missing;
    sum.extra += result.extra;
    sum.different += result.different;
    if (!result.clean())
        table.dirty.push_back(item.range);
    for (auto& sample : result.samples)
        table.samples.emplace_back(item.position, std::move(sample));
    std::ranges::stable_sort(table.samples, {}, [](auto const& sample) { return sample.first; });
    if (table.samples.size() > max_samples_)
        table.samples.resize(max_samples_);
    ++table.items_done;
    --working_;
    changed_.notify_all();
}

void Board::failed(Item const& item, std::string const& why) {
    std::lock_guard const lock{mutex_};
    auto& table = tables_[item.table];
    table.failed = true;
    if (table.verification.why.empty())
        table.verification.why = why;
    --working_;
    changed_.notify_all();
}

bool Board::samples_full(Item const& item) const {
    std::lock_guard const lock{mutex_};
    auto const& samples = tables_[item.table].samples;
    return samples.size() >= max_samples_ && (samples.empty() || samples.back().first <= item.position);
}

void Board::stop(std::string const& why) {
    std::lock_guard const lock{mutex_};
    if (!stopped_)
        stop_reason_ = why;
    stopped_ = true;
    changed_.notify_all();
}

void Board::crash(std::exception_ptr error) {
    std::lock_guard const lock{mutex_};
    if (!stopped_) // once stopped, what fails has been cancelled
        crash_ = std::move(error);
    stopped_ = true;
    --working_;
    changed_.notify_all();
}

bool Board::stopped() const {
    std::lock_guard const lock{mutex_};
    return stopped_;
}

bool Board::wait(base::Millis limit) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, limit, [&] { return over(); });
}

bool Board::idle(base::Millis limit) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, limit, [&] { return working_ == 0; });
}

CompareProgress Board::progress() const {
    std::lock_guard const lock{mutex_};
    CompareProgress now;
    now.tables = tables_.size();
    for (auto const& table : tables_) {
        auto const& found = table.verification;
        now.tables_done += table.failed || table.complete() ? 1U : 0U;
        now.rows_done += found.rows;
        now.differences += found.missing + found.extra + found.different;
        auto const rows = static_cast<double>(found.rows);
        if (table.complete() || !table.shape)
            now.rows_estimated += rows;
        else
            now.rows_estimated += std::max(rows, table.shape->source_rows);
    }
    return now;
}

Comparison Board::result() {
    std::lock_guard const lock{mutex_};
    if (crash_)
        std::rethrow_exception(crash_);
    Comparison result;
    for (std::size_t i = 0; i < tables_.size(); ++i) {
        auto& table = tables_[i];
        auto& found = table.verification;
        bool const differs = found.missing + found.extra + found.different > 0;
        if (!table.complete() && found.why.empty()) {
            auto const how_far = table.opened ? fmt::format(" after {} of {} ranges", table.items_done, table.items)
                                              : std::string{" before it was begun"};
            found.why = stop_reason_ + how_far;
        }
        // A difference that was seen is proven, however much was not looked at; `why` still says that.
        found.verdict = differs            ? model::Verdict::different
                        : table.complete() ? model::Verdict::clean
                                           : model::Verdict::incomplete;
        for (auto& sample : table.samples)
            found.samples.push_back(std::move(sample.second));
        if (differs)
            result.dirty.push_back({i, *table.shape, std::move(table.dirty)});
        result.verification.tables.push_back(std::move(found));
    }
    result.verification.verdict = model::overall(result.verification.tables);
    return result;
}

} // namespace pgcarve::verify
