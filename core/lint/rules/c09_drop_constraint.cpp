#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb != Verb::drop_constraint || !context.on_existing_table())
        return;
    auto const* const table = context.state.table(action.on);
    auto kind = ConstraintKind::none;
    if (table != nullptr) {
        auto const at = table->constraints.find(action.name);
        if (at != table->constraints.end())
            kind = at->second.kind;
    }
    bool const looks_so =
        kind == ConstraintKind::none && (action.name.find("fkey") != std::string::npos ||
                                         action.name.starts_with("fk_") || action.name.ends_with("_fk"));
    if (kind == ConstraintKind::foreign_key || looks_so)
        context.tell(
            {.span = action.span,
             .message = "without " + action.name + " rows of " + context.table() + " may lose their parents",
             .lock = "ACCESS EXCLUSIVE",
             .object = context.table() + "." + action.name});
}

} // namespace

Rule const& rule_c09() {
    static Rule const rule{
        .about = {.id = "C09",
                  .name = "drop-foreign-key",
                  .title = "a foreign key is dropped",
                  .why = "Rows without a parent can come in from now on, and deletes no longer cascade. Told "
                         "when the foreign key is known, or is named like one.",
                  .lock = "ACCESS EXCLUSIVE",
                  .fix = "see to it that nothing relies on it",
                  .severity = model::Severity::warning,
                  .violating = {"ALTER TABLE orders DROP CONSTRAINT orders_customer;",
                                "ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_country_fkey;"},
                  .accepted = {"ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT VALID; "
                               "ALTER TABLE orders DROP CONSTRAINT positive;"}},
        .shows = Shows::lock,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
