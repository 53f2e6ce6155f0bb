#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void tell(Context const& context, sql::QName const& table, std::string const& what, bool only_stream = false) {
    for (auto const& synced : context.synced(table)) {
        if (only_stream && !(synced.stream() && synced.source()))
            continue;
        context.tell({.span = context.action.span, .message = synced.text() + ": " + what, .object = synced.here().table.display()});
    }
}

void judge(Context const& context) {
    auto const& action = context.action;
    if (action.verb == Verb::drop && action.object == Object::index && context.sync != nullptr) {
        auto const* const index = context.state.index(action.other);
        if (index != nullptr && index->unique)
            tell(context, index->table, "this unique index may be what tells its rows apart");
        if (index == nullptr && !context.sync->all().empty())
            context.tell({.span = action.span,
                          .message = "it is not known whose index " + shown(action.other) + " is: a sync may tell rows apart by it",
                          .object = shown(action.other),
                          .warn_only = true});
        return;
    }
    if (action.verb == Verb::drop_constraint && context.state.may_be_key(action.on, action.name))
        tell(context, action.on, "this constraint may be what tells its rows apart");
    bool const identity = action.verb == Verb::alter_other && !action.words.empty() && action.words[0] == "AT_ReplicaIdentity";
    if (identity && action.words.size() > 1 && action.words[1] != "f" && action.words[1] != "d")
        tell(context, action.on, action.words[1] == "n" ? "without an identity every UPDATE and DELETE on it fails" : "the stream goes by its key, which this identity may leave out", true);
}

} // namespace

Rule const& rule_s06() {
    static Rule const rule{
        .about = {.id = "S06",
                  .name = "sync-identity",
                  .title = "a running sync loses what tells one row from another",
                  .why = "Without a replica identity the server refuses every UPDATE and DELETE of the application on a "
                         "table that is streamed, from that moment on. A mirror writes by the key: without it the "
                         "application's own write fails, or meets two rows.",
                  .lock = "",
                  .fix = "keep the key until the sync is over; a new one can stand beside it",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE orders DROP CONSTRAINT orders_pkey;",
                                "ALTER TABLE customers REPLICA IDENTITY NOTHING;",
                                "DROP INDEX orders_ref_idx;"},
                  .accepted = {"ALTER TABLE customers REPLICA IDENTITY FULL;",
                                "ALTER TABLE order_lines DROP CONSTRAINT lines_pkey;",
                                "DROP INDEX orders_state_idx;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
