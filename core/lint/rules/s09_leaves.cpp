#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

enum class Only { nothing, mirrors };

void tell(Context const& context, sql::QName const& table, std::string const& what, Only only = Only::nothing) {
    for (auto const& synced : context.synced(table)) {
        if (only == Only::mirrors && (synced.pair->by != model::KeptBy::mirror || !synced.source()))
            continue;
        context.tell({.span = context.action.span, .message = synced.text() + ": " + what, .object = synced.here().table.display()});
    }
}

bool is_ours(std::string_view name) {
    return name.starts_with("pgcarve");
}

void own(Context const& context, std::string const& object) {
    if (!context.sync->all().empty())
        context.tell({.span = context.action.span, .message = object + " is what keeps tables in step", .object = object});
}

void judge(Context const& context) {
    auto const& action = context.action;
    if (context.sync == nullptr)
        return;
    bool const table = action.object == Object::table;
    if (table && action.verb == Verb::drop)
        tell(context, action.on, "dropped, or made anew, it is in no sync any more");
    if (table && (action.verb == Verb::attach_partition || action.verb == Verb::detach_partition)) {
        tell(context, action.on, "the sync does not know of this change of partitions");
        tell(context, action.other, "the sync does not know of this change of partitions");
    }
    if (table && action.verb == Verb::create && action.partition) {
        for (auto const& parent : action.parents)
            tell(context, parent, "the sync does not know the new partition");
    }
    if (table && action.verb == Verb::disable_trigger && (action.words[0] != "AT_DisableTrig" || is_ours(action.name)))
        tell(context, action.on, "with its triggers off, writes stay at one side", Only::mirrors);
    if (action.object == Object::trigger && (action.verb == Verb::drop || action.verb == Verb::rename) &&
        (is_ours(action.name) || is_ours(action.old_name)))
        tell(context, action.on, "this trigger keeps it in step");
    bool const writes = action.verb == Verb::insert || action.verb == Verb::update || action.verb == Verb::remove || action.verb == Verb::merge ||
                        action.verb == Verb::truncate || action.verb == Verb::copy;
    if (writes && context.state.triggers_off)
        tell(context, action.on, "session_replication_role = replica: no trigger of the mirror fires", Only::mirrors);
    if (action.object == Object::publication && action.verb != Verb::create && is_ours(action.name + action.on.name) && action.words != std::vector<std::string>{""})
        own(context, action.name + action.on.name);
    bool const routine = action.object == Object::function || action.object == Object::view;
    if ((action.verb == Verb::drop || action.verb == Verb::rename || action.verb == Verb::set_schema) &&
        ((action.object == Object::schema && action.on.name == "pgcarve") || (action.on.schema == "pgcarve" && (routine || table))))
        own(context, action.on.name);
}

} // namespace

Rule const& rule_s09() {
    static Rule const rule{
        .about = {.id = "S09",
                  .name = "sync-leaves",
                  .title = "a table, or what keeps it in step, leaves a running sync without a word",
                  .why = "Nothing fails, and from then on rows go to one side only: a table made anew under the old name,"
                         " a partition that the sync does not know, triggers or the publication of pgcarve altered by "
                         "hand, writes with session_replication_role = replica.",
                  .lock = "",
                  .fix = "ask pgcarve to do it: cancel the service first, or make the change at both sides and let the "
                         "sync take it up",
                  .severity = model::Severity::error,
                  .violating = {"DROP TABLE orders;",
                                "ALTER TABLE orders DISABLE TRIGGER ALL;",
                                "ALTER PUBLICATION pgcarve_crm DROP TABLE customers;",
                                "DROP SCHEMA pgcarve CASCADE;",
                                "SET session_replication_role = replica; UPDATE orders SET state = 'x' WHERE id = 1;",
                                "CREATE TABLE orders_2027 PARTITION OF orders FOR VALUES FROM (1) TO (2);"},
                  .accepted = {"DROP TABLE order_lines;",
                                "ALTER TABLE orders DISABLE TRIGGER orders_touch;",
                                "ALTER PUBLICATION other DROP TABLE customers;",
                                "UPDATE orders SET state = 'x' WHERE id = 1;"}},
        .shows = Shows::nothing,
        .judge = judge};
    return rule;
}

} // namespace pgcarve::lint
