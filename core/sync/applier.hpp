// Applies batches to the target, exactly once: the rows and the position in the source's log commit together.
//
// A batch is first applied as sets (coalesce.hpp). When the target refuses that, or a statement does not meet as many
// rows as it should, the batch is undone to a savepoint and replayed change by change in the source's order: what then
// still fails is a real difference ("target-differs", exit 5), and nothing of the batch stays.
//
// With them goes what they touched (touched.hpp), and pgcarve's own message when the batch ends at one.
//
// The target is always at a commit of the source: pieces of one large transaction are applied as they come, and committed
// with its last piece. Memory: that of one batch and its parameters.
//
// Threads: one at a time.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "pg/bulk.hpp"
#include "sync/batch.hpp"
#include "sync/coalesce.hpp"
#include "sync/mapping.hpp"
#include "sync/touched.hpp"

namespace pgcarve::sync {

struct Applied {
    long long transactions = 0;
    long long changes = 0;
    long long replayed_batches = 0; // which sets could not do
    long long touched_bytes = 0;    // of lines written into pgcarve.touched, line_size()
};

class Applier {
public:
    // `stream` names the row of pgcarve.stream at the target that holds the position.
    Applier(pg::Bulk& target, Mapping const& mapping, std::string stream);

    // What of a change is to be applied; a copy that is under way answers for rows it has brought already, or will bring.
    // An update that changes the key may come to one half of it: the row goes, or comes.
    enum class Wanted { nothing, all, removal, insertion };
    using Filter = std::function<Wanted(Change const&)>;
    using Look = std::function<void(std::vector<Change> const&)>; // at all of a batch, before it is asked for each
    void filter(Filter wanted, Look look = {}) {
        wanted_ = std::move(wanted);
        look_ = std::move(look);
    }

    // Applies it; commits when it is complete. Throws and leaves the target at the last commit otherwise.
    void apply(Batch const& batch);
    // The position alone, in a transaction of its own. Not between the pieces of a transaction.
    void move(base::Lsn position);
    // After an error, or at a stop in the middle of a transaction: back to the last commit.
    void abandon();

    [[nodiscard]] Applied const& applied() const noexcept { return applied_; }

private:
    void apply_rows(Batch const& batch);
    void commit(Batch const& batch);
    [[noreturn]] void unknown_stream() const;
    void note_touched(std::vector<Change const*> const& changes);
    // The lines of what was noted, as parameters from the third on: tables, transactions, keys.
    void add_touched(std::vector<pg::TextArray>& to);
    void write_touched();
    bool try_sets(std::vector<Change const*> const& changes);
    void replay(Change const& change);
    void apply_one(Change const& change);
    void flush(std::vector<Coalescer::Table> const& net);
    void remove(MappedTable const& table, std::vector<Cells> const& rows);
    void update(MappedTable const& table, std::vector<Net::Updated> const& rows);
    void insert(MappedTable const& table, std::vector<Cells> const& rows);
    void copy(MappedTable const& table, std::vector<std::size_t> const& set, std::vector<Cells> const& rows);
    void truncate(Change const& change);
    void run(std::string const& statement, std::size_t expected);

    pg::Bulk& target_;
    Mapping const& mapping_;
    std::string stream_;
    Filter wanted_;
    Look look_;
    Applied applied_;
    bool open_ = false; // a transaction at the target
    bool copies_ = true; // many rows go by COPY
    std::vector<pg::TextArray> columns_;
    std::string line_;
    // of the batch under way
    std::map<std::uint32_t, TouchedTable> touched_;
    std::set<std::uint32_t> truncated_;
    std::vector<wire::TransactionId> xids_;
    bool in_pieces_ = false; // lines without a position were written in this transaction
};

} // namespace pgcarve::sync
