// Foreign keys of the new tables. While T follows it has none: order of arrival is the
// source's business. They come back when T becomes the authority.
//
// `add` belongs into the switch: NOT VALID, so that it reads no rows. `validate` steps come
// after it, one transaction each, beside readers and writers. A partitioned table cannot
// have a key that is NOT VALID before version 18: its leaves get theirs in `add`, and the
// last steps join them under the partitioned table's key, which by then reads nothing.
#pragma once

#include <string>
#include <vector>

#include "ddl/carry.hpp"

namespace pgcarve::ddl {

struct ForeignKeys {
    std::vector<std::string> add;
    std::vector<model::Step> validate; // "validate:TABLE.NAME", "join:TABLE.NAME"
    std::vector<std::string> drop;     // takes all of them away, whatever of the above was reached
    // The same key by key, so that no transaction has to gather the locks of many busy tables at once.
    std::vector<model::Step> add_each; // "keys:add:TABLE.NAME", to run before `validate`
    std::vector<model::Step> drop_each; // "keys:drop:TABLE.NAME"
};

// Keys of T that point to tables of the same service, in their new place.
[[nodiscard]] ForeignKeys foreign_keys_inside(model::Catalog const& catalog, Pairs const& pairs);
// Keys of T that point to tables of others.
[[nodiscard]] ForeignKeys foreign_keys_across(model::Catalog const& catalog, Pairs const& pairs);

} // namespace pgcarve::ddl
