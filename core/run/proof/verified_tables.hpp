// What a comparison knows of its tables: why one cannot be compared, and the differences found, each counted once however
// often its row is looked at. Across two databases also their shapes as of the moment.
//
// Threads: shapes and doubts belong to one thread while no other is at work; the rest from any.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "run/proof/across_units.hpp"
#include "run/proof/across_verification.hpp"

namespace pgcarve::run {

class VerifiedTables {
public:
    struct Table {
        std::optional<verify::AcrossShape> shape; // as of the moment; of two databases
        std::vector<verify::Key> doubted;         // at the moment: left out
        std::size_t units = 0;
        std::size_t units_done = 0;
        std::string why; // it is incomplete
        [[nodiscard]] bool failed() const { return !why.empty(); }

        double rows_expected = 0;    // an estimate
        std::int64_t rows = 0;       // compared here, for progress
        std::int64_t rows_again = 0; // by key, in an incremental one
        std::int64_t differences = 0;
        std::map<verify::Key, model::Finding> valued; // samples with what --show-values shows
        std::map<verify::Key, model::Finding> again;  // found by key, bounded
        verify::AcrossCounts again_more;              // beyond the bound
        std::set<verify::Key> told;                   // bounded
    };

    VerifiedTables(std::vector<model::TablePair> const& pairs, verify::CompareOptions const& options, AcrossFound const& told);

    [[nodiscard]] std::size_t size() const noexcept { return tables_.size(); }
    [[nodiscard]] Table& operator[](std::size_t i) { return tables_[i]; }
    void fail(std::size_t i, std::string why); // the first reason stays
    // Every row is compared, unless somebody says that only a share of them and some keys are.
    void only_some() noexcept { everything_ = false; }
    [[nodiscard]] bool everything() const noexcept { return everything_; }
    [[nodiscard]] std::set<std::size_t> failed();

    // In a piece of which `already` findings are kept: the finding, unless there are enough of them.
    std::optional<model::Finding> found(verify::TwoSessions const& sessions, std::size_t i, verify::Difference const& difference, std::size_t already);
    // By key.
    void found_again(verify::TwoSessions const& sessions, std::size_t i, verify::Difference const& difference);
    // The same within one database. `values`: adds what --show-values shows.
    void found_again(std::size_t i, model::Finding const& found, verify::Key const& key, std::function<void(model::Finding&)> const& values);
    void again_counted(std::size_t i, std::int64_t rows);

    void expect(std::size_t i, double rows);
    void progress(std::size_t i, verify::AcrossCounts const& counts);
    // Within one database: what a piece holds.
    void piece_done(std::size_t i, verify::AcrossCounts const& counts, std::vector<model::Finding> const& found);
    void forget(std::size_t i); // its pieces are compared anew
    [[nodiscard]] verify::CompareProgress progress();
    // The verification, but for its service, its moment and the time it took. `taken_up`: pieces that an earlier process proved.
    // `stopped`: why not everything was compared; empty when it was. `settled`: pieces that hold even so. Of a table that is
    // incomplete, the turn stays where it was: it is taken out of `turns`.
    [[nodiscard]] model::Verification conclude(std::vector<Ranges::State> const& states, std::set<int> const& taken_up, std::string const& stopped,
                                               std::set<int> const& settled, std::map<std::string, std::string>& turns);

private:
    [[nodiscard]] std::vector<model::TableVerification> results(std::vector<Ranges::State> const& states, std::string const& stopped, std::set<int> const& settled);
    void tell(std::size_t i, verify::Difference const& difference);
    [[nodiscard]] model::Finding finding(verify::TwoSessions const& sessions, Table& table, verify::Difference const& difference, bool sample);

    std::vector<model::TablePair> const& pairs_;
    verify::CompareOptions const& options_;
    AcrossFound const& told_;
    std::mutex mutex_;
    std::vector<Table> tables_;
    std::size_t remembered_ = 0;
    bool everything_ = true;
};

} // namespace pgcarve::run
