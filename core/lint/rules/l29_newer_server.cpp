#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

void tell(Context const& context, int version, std::string const& what) {
    if (context.state.version < version)
        context.tell({.span = context.action.span,
                      .message = what + " is not known before PostgreSQL " + std::to_string(version) + ", and the server is " +
                                 std::to_string(context.state.version),
                      .object = what});
}

void judge(Context const& context) {
    if (context.first) {
        for (auto const& need : context.statement.needs)
            tell(context, need.version, need.what);
    }
    if (context.action.in_body && context.action.verb == Verb::merge) // of a DO block
        tell(context, 15, "MERGE");
}

} // namespace

Rule const& rule_l29() {
    static Rule const rule{
        .about = {.id = "L29",
                  .name = "newer-server",
                  .title = "the server's version does not know the statement",
                  .why = "The migration fails there, perhaps half-way. The version is that of --pg-version, "
                         "--inventory or --dsn; below it is 13.",
                  .lock = "",
                  .fix = "write it as that version understands it, or upgrade first",
                  .severity = model::Severity::error,
                  .violating = {"ALTER TABLE events DETACH PARTITION events_2026 CONCURRENTLY;",
                                "CREATE OR REPLACE TRIGGER orders_touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();",
                                "ALTER TABLE orders ALTER COLUMN note SET COMPRESSION pglz;",
                                "CREATE UNIQUE INDEX CONCURRENTLY u ON orders (ref, note) NULLS NOT DISTINCT;",
                                "MERGE INTO orders AS o USING customers AS c ON c.id = o.customer_id WHEN MATCHED THEN DELETE;",
                                "ALTER TABLE order_lines ADD CONSTRAINT f FOREIGN KEY (order_id) REFERENCES orders ON DELETE SET NULL (order_id) NOT VALID;",
                                "CREATE VIEW v WITH (security_invoker = true) AS SELECT id FROM orders;",
                                "CREATE STATISTICS s ON (id % 10), (ref % 10) FROM orders;",
                                "CREATE FUNCTION one() RETURNS int LANGUAGE sql RETURN 1;",
                                "CREATE PUBLICATION p FOR TABLES IN SCHEMA public;",
                                "CREATE PUBLICATION p FOR TABLE orders WHERE (id > 10);"},
                  .accepted = {"ALTER TABLE events DETACH PARTITION events_2026;",
                               "CREATE UNIQUE INDEX CONCURRENTLY u ON orders (ref, note);",
                               "CREATE PUBLICATION p FOR TABLE orders;"}},
        .shows = Shows::refusal,
        .judge = judge,
        .version = 13};
    return rule;
}

} // namespace pgcarve::lint
