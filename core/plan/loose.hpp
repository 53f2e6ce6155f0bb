// Foreign keys that a database cutover severs and pgcarve keeps: what is installed for them, and the statements that do
// at the child what the key's action would have done.
//
// While the key is severed a referenced key that goes is noted at the parent's server (mirrorgen/loose.hpp) and the child
// is brought in line later (run/stream/loose.hpp). The action is the key's own; where it has none (NO ACTION, RESTRICT) the rows
// stay as orphans. Nothing is done for a key that the parent has again.
// Pure.
#pragma once

#include <string>
#include <vector>

#include "mirrorgen/loose.hpp"
#include "model/catalog.hpp"
#include "model/plan.hpp"
#include "model/setup.hpp"
#include "sql/builder.hpp"

namespace pgcarve::plan {

[[nodiscard]] model::SeveredKey severed_key(sql::QName const& child, model::Constraint const& constraint, bool parent_moves);

// A loose key as it is kept: by the tables that take the writes.
struct LooseKey {
    model::SeveredKey key;
    sql::QName parent; // at the parent's server
    std::string reference; // what the queue calls it
    [[nodiscard]] std::string text() const; // public.orders.customer_id -> public.customers
};
// Of the severed keys those that are loose, each once: a service that took the schema hop has its tables twice.
[[nodiscard]] std::vector<LooseKey> loose_keys(model::Setup const& setup, std::vector<model::SeveredKey> const& severed);

// What notes them at one side. `parent_moves`: at the other database, whose catalog is given then. Throws "table-gone" (exit 5).
[[nodiscard]] std::vector<mirrorgen::Machinery> loose_parents(std::string const& service, std::vector<LooseKey> const& keys, bool parent_moves,
                                                              model::Catalog const& catalog, bool gone_is_fine = false);
// Steps before the switch of a cutover, and after that of a rollback; those for the other database are marked "other:".
[[nodiscard]] std::vector<model::Step> loose_install_steps(std::string const& service, std::vector<LooseKey> const& keys,
                                                           model::Catalog const& shared, model::Catalog const& other);
[[nodiscard]] std::vector<model::Step> loose_remove_steps(std::string const& service, std::vector<LooseKey> const& keys,
                                                          model::Catalog const& shared, model::Catalog const& other);

// ---- statements; a key's values are arrays' text forms, as the queue has them

// Types as format_type prints them without modifier.
struct LooseTypes {
    std::vector<std::string> referenced; // of the referenced columns, at the parent's server
    std::vector<std::string> compared;   // what their values are taken for at the child's
    std::vector<std::string> columns;    // of the child's columns
};
// One column `old`: those of the keys given that `parent` does not have.
[[nodiscard]] sql::Sql absent_keys(LooseKey const& key, LooseTypes const& types, sql::QName const& parent, std::vector<std::string> const& olds);
// One column `old`: those of the keys given that rows of `child` refer to.
[[nodiscard]] sql::Sql referred_keys(LooseKey const& key, LooseTypes const& types, sql::QName const& child, std::vector<std::string> const& olds);
// One column `n`: how many rows refer to these keys, at most `limit`.
[[nodiscard]] sql::Sql referring_rows(LooseKey const& key, LooseTypes const& types, sql::QName const& child, std::vector<std::string> const& olds, int limit);
// Whether deletes (else: changes) of the parent do anything at the child.
[[nodiscard]] bool acts(model::SeveredKey const& key, bool on_delete);
// Does it to at most `limit` rows, leaving out those that others have locked.
[[nodiscard]] sql::Sql delete_action(LooseKey const& key, LooseTypes const& types, sql::QName const& child, std::vector<std::string> const& olds, int limit);
// The same for one key that changed. `now`: its new values, an array's text form, which may hold NULLs.
[[nodiscard]] sql::Sql update_action(LooseKey const& key, LooseTypes const& types, sql::QName const& child, std::string const& old, std::string const& now,
                                     int limit);

// One column `n`: rows of the child without their parent, where both are in one database.
[[nodiscard]] sql::Sql orphan_count(model::SeveredKey const& key, sql::QName const& child, sql::QName const& parent);

} // namespace pgcarve::plan
