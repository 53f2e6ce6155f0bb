// Pieces that the bodies of mirror and fence functions share. Private to mirrorgen.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mirrorgen/mirrorgen.hpp"

namespace pgcarve::mirrorgen {

inline constexpr int on_row = 1, before = 2, on_insert = 4, on_delete = 8, on_update = 16, on_truncate = 32;

// pgcarve."pgcarve_public.orders_<what>", of the table whose trigger calls it.
[[nodiscard]] sql::QName function_name(sql::QName const& table, std::string_view what);
// The view through which functions read and write a table.
[[nodiscard]] sql::QName view_name(sql::QName const& table);
// The spec with both tables replaced by their views: what function bodies are made from.
[[nodiscard]] Spec through_views(Spec spec);
[[nodiscard]] std::vector<View> views_of(Spec const& spec);

// a.k1 = b.k1 AND a.k2 = b.k2
[[nodiscard]] sql::Sql same_key(std::span<KeyColumn const> key, std::string_view a, std::string_view b);
[[nodiscard]] std::vector<std::string> names_of(std::span<KeyColumn const> key);

// [NOT ]EXISTS (SELECT FROM table AS alias WHERE alias.key = other.key OFFSET 0), read by index.
[[nodiscard]] sql::Sql exists(sql::QName const& table, std::span<KeyColumn const> key, std::string_view alias, std::string_view other);

// True while a snapshot older than the statement decides what is visible. (READ UNCOMMITTED counts as one, to no harm.)
inline constexpr sql::Sql::Fixed old_snapshot = "pg_catalog.current_setting('transaction_isolation') <> 'read committed'";

} // namespace pgcarve::mirrorgen
