// A run of changes from the source, in the order of its commits, owned and bounded in size.
//
// A batch ends at a commit of the source (`complete`), but for pieces of a transaction that is larger than a batch may
// be: they hold nothing else, the following batches carry the rest, and the target commits behind the last of them.
// Threads: one at a time; batches are handed from the receiver to the applier.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.hpp"
#include "wire/message.hpp"

namespace pgcarve::sync {

using Cells = std::span<wire::Column const>;

// Memory of one batch: given out, never taken back before the batch ends.
class Arena {
public:
    [[nodiscard]] Cells keep(Cells cells); // the values too
    [[nodiscard]] std::span<wire::Column> cells(std::size_t count); // to be filled with what lives elsewhere in here
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    char* take(std::size_t bytes, std::size_t alignment);
    std::vector<std::unique_ptr<char[]>> blocks_;
    char* at_ = nullptr;
    std::size_t left_ = 0;
    std::size_t bytes_ = 0;
};

enum class Kind : std::uint8_t { insert, update, remove, truncate };

struct Change {
    Kind kind = Kind::insert;
    std::uint32_t table = 0;
    wire::TransactionId xid;
    Cells old; // update, remove: the columns of the key have the values that find the row
    Cells row; // insert, update: unchanged_toast where the value was not sent
    std::vector<std::uint32_t> const* truncated = nullptr; // truncate: all tables of the statement
    bool restart_identity = false;
};

struct Batch {
    Arena arena;
    std::vector<Change> changes;
    std::vector<std::unique_ptr<std::vector<std::uint32_t>>> truncations;
    std::size_t transactions = 0;
    bool complete = false;     // ends at a commit
    base::Lsn end{};           // of the last commit, when complete
    wire::Timestamp commit_time{};
    std::optional<std::string> marker; // the content of pgcarve's own message, which the last transaction of the batch carried
};

} // namespace pgcarve::sync
