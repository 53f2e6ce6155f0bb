// The parts of plan_target; only the target*.cpp files use them.
#pragma once

#include <string>
#include <vector>

#include "ddl/carry.hpp"
#include "ddl/names.hpp"
#include "ddl/parts.hpp"
#include "model/catalog.hpp"
#include "model/foundation.hpp"

namespace pgcarve::ddl {

// The tables as the target's catalog should show them: names, definitions, owner and rights are the target's. Everything
// that makes or compares a table then works on two catalogs of one world. Tables are in the order in which they can be
// made, each root followed by its partitions.
struct Wanted {
    model::Catalog catalog; // with the owned sequences, and the target's role and default privileges
    std::vector<model::Notice> notices;
};
[[nodiscard]] Wanted wanted_at_target(model::Catalog const& source, model::Catalog const& target, Pairs const& pairs,
                                      std::string const& schema);

// Why `have` cannot serve as `wanted`, and anything of its own that could refuse the source's rows.
void compare_tables(std::vector<model::Notice>& out, model::Catalog const& wanted, model::Table const& table, model::Catalog const& target,
                    model::Table const& have);

// Indexes that must be there while rows are copied and the stream runs.
[[nodiscard]] bool is_key_index(model::Catalog const& wanted, model::Table const& table, model::Index const& index);

// Steps for what is missing.
[[nodiscard]] std::vector<model::Step> pre_load_steps(model::Catalog const& wanted, model::Catalog const& target);
[[nodiscard]] std::vector<model::Step> post_load_steps(model::Catalog const& wanted, model::Catalog const& target);

} // namespace pgcarve::ddl
