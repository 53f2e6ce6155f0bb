#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::validate_constraint || !context.on_existing_table() ||
        !context.state.in_transaction)
        return;
    auto const* const table = context.state.table(action.on);
    if (table == nullptr)
        return;
    auto const at = table->constraints.find(action.name);
    if (at != table->constraints.end() && at->second.added_in == context.state.transaction)
        context.tell(
            {.span = action.span,
             .message = action.name +
                        " is validated while the transaction still holds the lock which adding it took",
             .lock =
                 at->second.kind == ConstraintKind::foreign_key ? "SHARE ROW EXCLUSIVE" : "ACCESS EXCLUSIVE",
             .object = context.table() + "." + action.name});
}

} // namespace

Rule const& rule_l23() {
    static Rule const rule{
        .about = {.id = "L23",
                  .name = "validate-same-transaction",
                  .title = "a constraint is validated under the lock that added it",
                  .why = "NOT VALID spares the long lock only when VALIDATE comes in a later transaction: in "
                         "the same one the lock of ADD CONSTRAINT is held all the time.",
                  .lock = "",
                  .fix = "put VALIDATE CONSTRAINT in a transaction, or a file, of its own",
                  .severity = model::Severity::error,
                  .violating = {"BEGIN; ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT "
                                "VALID; ALTER TABLE orders VALIDATE CONSTRAINT positive; COMMIT;"},
                  .accepted = {"ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT VALID; "
                               "ALTER TABLE orders VALIDATE CONSTRAINT positive;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
