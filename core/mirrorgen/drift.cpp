#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "mirrorgen/parts.hpp"

namespace pgcarve::mirrorgen {

using sql::Sql;

Sql installed_query(Machinery const& machinery) {
    Sql sql{"SELECT n.nspname AS table_schema, c.relname AS table_name, t.tgname AS name, t.tgenabled AS enabled, "
            "t.tgtype AS type, t.tgconstraint <> 0 AS constraint, t.tgqual IS NOT NULL AS has_when, "
            "coalesce(t.tgoldtable, '') AS old_table, coalesce(t.tgnewtable, '') AS new_table, "
            "fn.nspname AS function_schema, p.proname AS function_name, p.proconfig AS settings, p.prosrc AS body, "
            "p.prosecdef AS security_definer, (SELECT pg_catalog.array_agg(a.attname::text ORDER BY a.attname::text COLLATE \"C\") "
            "FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr)) AS of_columns "
            "FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid "
            "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid "
            "JOIN pg_catalog.pg_namespace AS fn ON fn.oid = p.pronamespace WHERE false"};
    for (auto const& function : machinery.functions) {
        sql.add(" OR (fn.nspname = ").literal(function.name.schema);
        sql.add(" AND p.proname = ").literal(function.name.name).add(")");
    }
    auto const named = [&sql](Trigger const& trigger) {
        sql.add(" OR (t.tgname = ").literal(trigger.name).add(" AND n.nspname = ").literal(trigger.table.schema);
        sql.add(" AND c.relname = ").literal(trigger.table.name).add(")");
    };
    std::ranges::for_each(machinery.triggers, named);
    std::ranges::for_each(machinery.needless_triggers, named);
    return sql.add(" ORDER BY 1, 2, 3");
}

namespace {

class Comparison {
public:
    Comparison(Machinery const& machinery, bool enabled, std::vector<Installed> const& installed)
        : machinery_{machinery}, enabled_{enabled}, installed_{installed}, known_(installed.size(), false) {}

    std::vector<std::string> run() {
        for (auto const& trigger : machinery_.triggers) {
            check(trigger, trigger.table, enabled_);
            for (auto const& clone : trigger.clones) {
                bool const stays_off = std::ranges::find(trigger.disabled_on, clone) != trigger.disabled_on.end();
                check(trigger, clone, enabled_ && !stays_off);
            }
        }
        for (auto const& function : machinery_.functions)
            check(function);
        for (auto const& trigger : machinery_.needless_triggers)
            check_needless(trigger);
        for (std::size_t i = 0; i < installed_.size(); ++i) {
            if (!known_[i])
                found_.push_back(fmt::format("{} came after the mirror was made: it carries {} only as a clone",
                                             installed_[i].table.display(), installed_[i].name));
        }
        return std::move(found_);
    }

private:
    void check(Trigger const& trigger, sql::QName const& table, bool enabled) {
        auto const what = fmt::format("trigger {} on {}", trigger.name, table.display());
        auto const at = std::ranges::find_if(installed_, [&](Installed const& i) { return i.table == table && i.name == trigger.name; });
        if (at == installed_.end()) {
            found_.push_back(what + " is missing");
            return;
        }
        known_[static_cast<std::size_t>(at - installed_.begin())] = true;
        if (enabled && at->enabled != 'O' && at->enabled != 'A')
            found_.push_back(what + " is disabled");
        if (!enabled && at->enabled != 'D')
            found_.push_back(what + " is enabled");
        if (at->type != trigger.type || at->constraint != trigger.constraint || at->has_when != !trigger.when.empty() ||
            at->old_table != trigger.old_table || at->new_table != trigger.new_table || at->of_columns != trigger.of_columns || at->function.name != trigger.function)
            found_.push_back(what + " was altered");
    }

    void check_needless(Trigger const& trigger) {
        for (std::size_t i = 0; i < installed_.size(); ++i) {
            if (installed_[i].name != trigger.name)
                continue;
            known_[i] = true;
            if (installed_[i].table == trigger.table)
                found_.push_back(fmt::format("trigger {} on {} is not needed any more", trigger.name, trigger.table.display()));
        }
    }

    void check(Function const& function) {
        auto const at = std::ranges::find_if(installed_, [&](Installed const& i) { return i.function.name == function.name; });
        if (at == installed_.end())
            return; // then its triggers were missing or altered
        if (at->function != function)
            found_.push_back(fmt::format("function {} was altered", function.name.display()));
    }

    Machinery const& machinery_;
    bool enabled_;
    std::vector<Installed> const& installed_;
    std::vector<bool> known_;
    std::vector<std::string> found_;
};

} // namespace

std::vector<std::string> drift(Machinery const& machinery, bool enabled, std::vector<Installed> const& installed) {
    return Comparison{machinery, enabled, installed}.run();
}

} // namespace pgcarve::mirrorgen
