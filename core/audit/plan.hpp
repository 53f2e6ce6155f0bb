// What an audit compares: pairs of tables, the columns of their keys, and the columns beside them that both sides have.
// Plain values, made by run/ from the catalog.
//
// The two sides are told apart by where they are and not by who has the authority, which may change while an audit runs.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/types.hpp"
#include "sql/ident.hpp"

namespace pgcarve::audit {

enum class Side : std::uint8_t { shared, service };
inline constexpr std::array both{Side::shared, Side::service};
[[nodiscard]] constexpr std::size_t index(Side side) noexcept { return static_cast<std::size_t>(side); }
[[nodiscard]] constexpr Side other(Side side) noexcept { return side == Side::shared ? Side::service : Side::shared; }

struct KeyColumn {
    std::string name;
    std::string type;         // as a cast takes it, printed by the server
    std::string equals = "="; // or OPERATOR(schema.=), printed by the server
};

struct TablePlan {
    std::array<sql::QName, 2> names; // roots, by side
    std::array<base::Oid, 2> oids;   // theirs
    std::vector<KeyColumn> key;
    std::vector<std::string> columns; // beside the key, on both sides, not generated
};

// Where the changes of a relation belong: a root, or a partition of one.
struct Home {
    std::uint32_t table = 0;
    Side side = Side::shared;
    bool root = true;
};

struct Plan {
    std::vector<TablePlan> tables;
    std::unordered_map<std::uint32_t, Home> homes; // by the relation's number, all levels
};

} // namespace pgcarve::audit
