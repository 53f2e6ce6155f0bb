#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void judge(Context const& context) {
    auto const& action = context.action;
    bool const refuses = (action.concurrently && action.verb != Verb::refresh) ||
                         action.verb == Verb::vacuum || action.verb == Verb::system ||
                         (action.verb == Verb::drop && action.object == Object::database);
    if (!refuses || (!context.state.in_transaction && !action.in_body))
        return;
    static constexpr std::pair<Runner, char const*> ways[] = {
        {Runner::diesel,
         "run_in_transaction = false in a metadata.toml beside it, and this statement alone in the file"},
        {Runner::goose, "-- +goose NO TRANSACTION at the top of the file"},
        {Runner::atlas, "-- atlas:txmode none at the top of the file"},
        {Runner::rails, "disable_ddl_transaction! in the migration"},
        {Runner::django,
         "atomic = False in the migration, and AddIndexConcurrently or RemoveIndexConcurrently"},
        {Runner::alembic, "with op.get_context().autocommit_block(): around it"},
        {Runner::flyway,
         "leave such statements alone in a file of their own: Flyway runs it without a transaction then"}};
    std::string fix;
    for (auto const& [runner, way] : ways) {
        if (runner == context.runner && context.wrapped && !action.in_body)
            fix = way;
    }
    context.tell(
        {.span = action.span,
         .message =
             action.in_body ? "the server refuses this inside a DO block"
             : context.wrapped
                 ? "the server refuses this inside the transaction that the runner opens around the file"
                 : "the server refuses this inside a transaction",
         .fix = fix});
}

} // namespace

Rule const& rule_l15() {
    static Rule const rule{
        .about =
            {.id = "L15",
             .name = "concurrently-in-transaction",
             .title = "a statement that the server refuses inside a transaction",
             .why = "CONCURRENTLY, VACUUM and the like cannot run inside a transaction: the migration fails.",
             .lock = "",
             .fix = "put it in a file of its own which the runner does not wrap in a transaction",
             .severity = model::Severity::error,
             .violating = {"BEGIN; CREATE INDEX CONCURRENTLY orders_note ON orders (note); COMMIT;",
                           "BEGIN; VACUUM orders; COMMIT;",
                           "DO $$ BEGIN CREATE INDEX CONCURRENTLY orders_note ON orders (note); END $$;"},
             .accepted = {"CREATE INDEX CONCURRENTLY orders_note ON orders (note);",
                          "BEGIN; REFRESH MATERIALIZED VIEW CONCURRENTLY totals; COMMIT;"}},
        .shows = Shows::refusal,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
