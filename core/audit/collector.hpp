// The stream's changes of one transaction after the other, taken together by row: in memory as long as they are few, on disk
// when they are many.
//
// Errors: base::Error "schema-changed" (exit 5) when a relation no longer has the columns of the key; those of Spill.
// Threads: one at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>

#include "audit/plan.hpp"
#include "audit/spill.hpp"
#include "wire/message.hpp"
#include "wire/relations.hpp"

namespace pgcarve::audit {

struct CollectorLimits {
    std::size_t memory = 16UL << 20U; // of one transaction, before it goes to disk
    std::string folder = "/tmp";
};

class Collector {
public:
    // `home_of` is asked once about a relation that the plan does not know: a partition that was added later.
    Collector(Plan const& plan, CollectorLimits limits, std::function<std::optional<Home>(base::Oid)> home_of);

    void begin();
    void take(wire::Relation const& message);
    void take(wire::Insert const& message);
    void take(wire::Update const& message);
    void take(wire::Delete const& message);
    void take(wire::Truncate const& message);

    [[nodiscard]] bool empty() const noexcept { return changes_ == 0; }
    [[nodiscard]] bool spilled() const noexcept { return spill_ != nullptr; }
    [[nodiscard]] std::uint64_t changes() const noexcept { return changes_; } // of the open transaction
    // The transaction as a whole, or in groups of its rows.
    void finish(std::function<void(Net&)> const& take);

private:
    struct Relation {
        wire::Relations::Shape shape;
        std::optional<Home> home;      // nullopt: none of ours
        std::vector<std::size_t> key;  // where in the row they are
        std::vector<std::size_t> columns; // absent: the relation has no such column
    };
    static constexpr std::size_t absent = static_cast<std::size_t>(-1);

    Relation const& relation(base::Oid id) const;
    [[nodiscard]] RowId row_id(Relation const& of, wire::Tuple row, wire::Tuple old) const;
    void values(Relation const& of, wire::Tuple row, wire::Tuple old, wire::OldTuple kind);
    void put(RowId const& id, Side side, std::optional<Key> const& moved_from);
    void remove(RowId const& id, Side side);
    void grown();

    Plan const& plan_;
    CollectorLimits limits_;
    std::function<std::optional<Home>(base::Oid)> home_of_;
    wire::Relations relations_;
    std::unordered_map<std::uint32_t, Relation> known_;
    Net net_;
    std::unique_ptr<Spill> spill_;
    std::vector<Digest> values_;
    std::uint64_t changes_ = 0;
};

} // namespace pgcarve::audit
