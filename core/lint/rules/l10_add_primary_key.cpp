#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    if (!context.on_existing_table())
        return;
    bool const added =
        action.verb == Verb::add_constraint && action.constraint == ConstraintKind::primary_key;
    if ((added && !action.uses_index) || (action.verb == Verb::add_column && action.definitions[0].primary)) {
        context.tell(
            {.span = action.span,
             .message = "the primary key's index is built while nobody can read or write " + context.table(),
             .lock = "ACCESS EXCLUSIVE",
             .object = context.table()});
    } else if (added) {
        auto const* const index = context.state.index(action.other);
        for (auto const& column : index != nullptr ? index->columns : std::vector<std::string>{}) {
            auto const* const known = context.state.column(action.on, column);
            if (known != nullptr && known->type &&
                context.state.not_null(action.on, column) == State::Proof::no)
                context.tell({.span = action.span,
                              .message = "the column " + column + " may be null: every row of " +
                                         context.table() + " is read under the lock",
                              .lock = "ACCESS EXCLUSIVE",
                              .object = context.table() + "." + column});
        }
    }
}

} // namespace

Rule const& rule_l10() {
    static Rule const rule{
        .about = {.id = "L10",
                  .name = "add-primary-key",
                  .title = "a primary key builds its index under the lock",
                  .why = "The index is built, and columns that may be null are read for nulls, while nobody "
                         "can read or write the table.",
                  .lock = "ACCESS EXCLUSIVE",
                  .fix = "CREATE UNIQUE INDEX CONCURRENTLY i ON ...; make the columns NOT NULL by a "
                         "validated CHECK; then ADD PRIMARY KEY USING INDEX i",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE order_lines ADD PRIMARY KEY (order_id, line);"},
                  .accepted = {"ALTER TABLE order_lines ADD CONSTRAINT c CHECK (order_id IS NOT NULL AND "
                               "line IS NOT NULL) NOT VALID; ALTER TABLE order_lines VALIDATE CONSTRAINT c; "
                               "ALTER TABLE order_lines ALTER order_id SET NOT NULL, ALTER line SET NOT "
                               "NULL; ALTER TABLE order_lines ADD PRIMARY KEY USING INDEX order_lines_idx;",
                               "CREATE TABLE fresh (id int PRIMARY KEY);"}},
        .shows = Shows::build,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
