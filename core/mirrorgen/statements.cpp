#include <algorithm>

#include "mirrorgen/parts.hpp"

namespace pgcarve::mirrorgen {

using sql::Sql;

namespace {

std::string create_function(Function const& function) {
    Sql sql{"CREATE OR REPLACE FUNCTION "};
    sql.add(function.name).add("() RETURNS trigger LANGUAGE plpgsql");
    if (function.security_definer)
        sql.add(" SECURITY DEFINER");
    for (auto const& setting : function.settings) { // name=value, both ours
        auto const at = setting.find('=');
        sql.add(" SET ").server_text(setting.substr(0, at)).add(" = ").server_text(setting.substr(at + 1));
    }
    return sql.add(" AS ").literal(function.body).text();
}

std::string revoke_function(Function const& function) {
    return Sql{"REVOKE ALL ON FUNCTION "}.add(function.name).add("() FROM PUBLIC").text();
}

std::string drop_trigger(Trigger const& trigger) {
    return Sql{"DROP TRIGGER IF EXISTS "}.add(sql::Ident{trigger.name}).add(" ON ").add(trigger.table).text();
}

std::string create_trigger(Trigger const& trigger) {
    Sql sql{"CREATE "};
    sql.add(trigger.constraint ? Sql::Fixed{"CONSTRAINT TRIGGER "} : Sql::Fixed{"TRIGGER "}).add(sql::Ident{trigger.name});
    sql.add((trigger.type & before) != 0 ? Sql::Fixed{" BEFORE "} : Sql::Fixed{" AFTER "});
    bool first = true;
    auto const event = [&](int bit, Sql::Fixed word) {
        if ((trigger.type & bit) == 0)
            return;
        sql.add(first ? Sql::Fixed{""} : Sql::Fixed{" OR "}).add(word);
        first = false;
        if (bit == on_update && !trigger.of_columns.empty())
            sql.add(" OF ").names(trigger.of_columns);
    };
    event(on_insert, "INSERT");
    event(on_delete, "DELETE");
    event(on_update, "UPDATE");
    event(on_truncate, "TRUNCATE");
    sql.add(" ON ").add(trigger.table);
    if (trigger.constraint)
        sql.add(" DEFERRABLE INITIALLY DEFERRED");
    if (!trigger.old_table.empty() || !trigger.new_table.empty())
        sql.add(" REFERENCING");
    if (!trigger.old_table.empty())
        sql.add(" OLD TABLE AS ").add(sql::Ident{trigger.old_table});
    if (!trigger.new_table.empty())
        sql.add(" NEW TABLE AS ").add(sql::Ident{trigger.new_table});
    sql.add((trigger.type & on_row) != 0 ? Sql::Fixed{" FOR EACH ROW"} : Sql::Fixed{" FOR EACH STATEMENT"});
    if (!trigger.when.empty())
        sql.add(" WHEN (").server_text(trigger.when).add(")");
    return sql.add(" EXECUTE FUNCTION ").add(trigger.function).add("()").text();
}

std::string switch_trigger(sql::QName const& table, Trigger const& trigger, Sql::Fixed what) {
    return Sql{"ALTER TABLE "}.add(table).add(" ").add(what).add(" TRIGGER ").add(sql::Ident{trigger.name}).text();
}

std::string drop_function(Function const& function) {
    return Sql{"DROP FUNCTION IF EXISTS "}.add(function.name).add("()").text();
}

std::vector<std::string> drop_needless(Machinery const& machinery) {
    std::vector<std::string> statements;
    for (auto const& trigger : machinery.needless_triggers)
        statements.push_back(drop_trigger(trigger));
    for (auto const& function : machinery.needless_functions)
        statements.push_back(drop_function(function));
    return statements;
}

} // namespace

std::vector<std::string> enable(Machinery const& machinery) {
    std::vector<std::string> statements;
    for (auto const& trigger : machinery.triggers) {
        statements.push_back(switch_trigger(trigger.table, trigger, "ENABLE")); // reaches the clones
        for (auto const& table : trigger.disabled_on)
            statements.push_back(switch_trigger(table, trigger, "DISABLE"));
    }
    return statements;
}

std::vector<std::string> disable(Machinery const& machinery) {
    std::vector<std::string> statements;
    for (auto const& trigger : machinery.triggers)
        statements.push_back(switch_trigger(trigger.table, trigger, "DISABLE"));
    return statements;
}

std::vector<std::string> install(Machinery const& machinery, bool enabled) {
    auto statements = drop_views(machinery);
    for (auto const& view : machinery.views) {
        Sql sql{"CREATE VIEW "};
        statements.push_back(sql.add(view.name).add(" AS SELECT ").names(view.columns).add(" FROM ").add(view.table).text());
    }
    for (auto const& function : machinery.functions) {
        statements.push_back(create_function(function));
        statements.push_back(revoke_function(function));
        for (auto const& owner : machinery.owners)
            statements.push_back(Sql{"GRANT EXECUTE ON FUNCTION "}.add(function.name).add("() TO ").add(sql::Ident{owner}).text());
    }
    for (auto const& trigger : machinery.triggers) {
        statements.push_back(drop_trigger(trigger));
        statements.push_back(create_trigger(trigger));
    }
    for (auto& statement : drop_needless(machinery))
        statements.push_back(std::move(statement));
    for (auto& statement : enabled ? enable(machinery) : disable(machinery))
        statements.push_back(std::move(statement));
    return statements;
}

std::vector<std::string> drop_views(Machinery const& machinery) {
    std::vector<std::string> statements;
    for (auto const& view : machinery.views)
        statements.push_back(Sql{"DROP VIEW IF EXISTS "}.add(view.name).text());
    return statements;
}

std::vector<std::string> drop(Machinery const& machinery) {
    std::vector<std::string> statements;
    for (auto const& trigger : machinery.triggers)
        statements.push_back(drop_trigger(trigger));
    for (auto const& function : machinery.functions)
        statements.push_back(drop_function(function));
    for (auto& statement : drop_needless(machinery))
        statements.push_back(std::move(statement));
    for (auto& statement : drop_views(machinery))
        statements.push_back(std::move(statement));
    return statements;
}

} // namespace pgcarve::mirrorgen
