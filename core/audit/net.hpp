// What a transaction did, net, to each row of either side, and what is known of a row.
//
// A value is known by a digest of its text as the stream prints it: two sides of equal types print equal values equally, and
// what is compared is what a client sees (1.0 is not 1.00). 64 bits a column: two different values meet once in 2^64.
// Pure. Threads: one at a time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "audit/plan.hpp"

namespace pgcarve::audit {

using Digest = std::uint64_t;
constexpr Digest unknown_value = 0; // never a digest
[[nodiscard]] Digest digest(std::optional<std::string_view> value); // nullopt: NULL

// The values of a key's columns, each behind its length, so that no two keys are the same text.
using Key = std::string;
void append_key(Key& key, std::string_view value);
[[nodiscard]] std::vector<std::string> key_values(Key const& key);

enum class Presence : std::uint8_t { unknown, absent, present };

// One side of a row. What is not known here is as it was before: in the row of `origin` when that is not empty, since the
// key was changed from there.
struct SideState {
    Presence presence = Presence::unknown;
    std::vector<Digest> columns; // of TablePlan::columns; empty unless present
    Key origin;
    // Something happened since the snapshots were taken that they do not show: only a later look tells.
    bool only_later = false;
};

struct RowState {
    std::array<SideState, 2> sides;
    [[nodiscard]] SideState& of(Side side) { return sides[index(side)]; }
    [[nodiscard]] SideState const& of(Side side) const { return sides[index(side)]; }
};

struct RowId {
    std::uint32_t table = 0;
    Key key;
    bool operator==(RowId const&) const = default;
};
struct RowIdHash {
    std::size_t operator()(RowId const& id) const noexcept { return std::hash<std::string_view>{}(id.key) * 31 + id.table; }
};

// The bytes that keeping a row costs, about.
[[nodiscard]] std::size_t cost(RowId const& id, RowState const& state);

// The changes of one transaction, taken in their order.
class Net {
public:
    using Rows = std::unordered_map<RowId, RowState, RowIdHash>;

    // The row is there, with these values; `moved_from`: under another key before. `partial`: the Net holds only a part of the
    // transaction's rows and not the one that moved, of which so nothing but the sent values can be known.
    void put(RowId const& id, Side side, std::vector<Digest> const& values, std::optional<Key> const& moved_from, bool partial);
    void remove(RowId const& id, Side side);
    // `whole`: the table is empty; otherwise only a partition of it is, and nobody says which rows it had.
    void truncate(std::uint32_t table, Side side, bool whole);

    [[nodiscard]] Rows& rows() noexcept { return rows_; }
    [[nodiscard]] Rows const& rows() const noexcept { return rows_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    struct Truncated {
        bool whole = false;
        bool part = false;
        [[nodiscard]] bool any() const noexcept { return whole || part; }
    };
    // Which sides of the table were truncated.
    [[nodiscard]] std::array<Truncated, 2> truncated(std::uint32_t table) const;
    [[nodiscard]] std::unordered_map<std::uint32_t, std::array<Truncated, 2>> const& truncations() const noexcept { return truncated_; }

private:
    RowState& row(RowId const& id);

    Rows rows_;
    std::unordered_map<std::uint32_t, std::array<Truncated, 2>> truncated_;
    std::size_t bytes_ = 0;
};

} // namespace pgcarve::audit
