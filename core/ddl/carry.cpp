#include "ddl/carry.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.hpp"
#include "ddl/parts.hpp"
#include "ddl/text.hpp"

namespace pgcarve::ddl {

using model::Catalog;
using model::Step;
using model::Table;
using model::TablePair;
using sql::QName;
using sql::quote_ident;

Table const& source_of(Catalog const& catalog, TablePair const& pair) {
    auto const* const table = catalog.find(pair.source);
    if (table == nullptr)
        throw base::Error{base::Exit::needs_decision, "table-gone",
                          fmt::format("table {} is no longer there", pair.source.display()),
                          "pgcarve plan shows what there is now"};
    return *table;
}

std::string carried(std::optional<std::string> text, std::string const& what, Table const& table) {
    if (!text)
        throw base::Error{base::Exit::needs_decision, "cannot-carry",
                          fmt::format("{} of {} has a definition that pgcarve does not understand", what, table.name.display()),
                          "pgcarve plan says what to do about it"};
    return *std::move(text);
}

TablePair make_pair(Table const& source, std::string const& schema) {
    TablePair pair{.source = source.name, .target = {schema, source.name.name}};
    if (auto const key = model::usable_key(source)) {
        pair.key = key->columns;
        pair.key_immediate = key->immediate;
    }
    pair.is_partition = source.partition_of.has_value();
    for (auto const& column : source.columns)
        pair.columns.push_back(column.name);
    return pair;
}

namespace {

TablePair const* pair_of(Pairs const& pairs, QName const& source) {
    auto const at = std::ranges::find(pairs, source, &TablePair::source);
    return at == pairs.end() ? nullptr : &*at;
}

// `top` and the partitions below it, each parent before its partitions.
std::vector<Made> tree(Catalog const& catalog, Pairs const& pairs, TablePair const& top) {
    auto const& table = source_of(catalog, top);
    std::vector<Made> all{{&table, top.target}};
    for (auto const* const part : catalog.partitions(table)) {
        auto const* const pair = pair_of(pairs, part->name);
        if (pair == nullptr)
            base::bug(fmt::format("partition {} has no pair", part->name.display()));
        all.push_back({part, pair->target});
    }
    return all;
}

QName parent_target(Pairs const& pairs, Table const& partition) {
    auto const* const pair = pair_of(pairs, *partition.partition_of);
    if (pair == nullptr)
        base::bug(fmt::format("the parent of {} has no pair", partition.name.display()));
    return pair->target;
}

void attach(Statements& out, QName const& parent, Made const& made) {
    out.push_back(fmt::format("ALTER TABLE {} ATTACH PARTITION {} {}", parent.quoted(), made.target.quoted(),
                              *made.source->partition_bound));
}

void attach_indexes(Statements& out, Made const& made) {
    for (auto const& index : made.source->indexes) {
        if (index.parent)
            out.push_back(attach_index(made, index));
    }
}

void make_guards(Statements& out, Catalog const& catalog, std::vector<Made> const& made) {
    for (auto const& m : made) {
        if (!needs_guard(catalog, *m.source))
            continue;
        auto const guard = guard_name(m.target);
        out.push_back(fmt::format("CREATE {}TABLE {} PARTITION OF {} DEFAULT", m.source->persistence == 'u' ? "UNLOGGED " : "",
                                  guard.quoted(), m.target.quoted()));
        if (m.source->owner != catalog.role.name)
            out.push_back(fmt::format("ALTER TABLE {} OWNER TO {}", guard.quoted(), quote_ident(m.source->owner)));
        out.push_back(fmt::format("COMMENT ON TABLE {} IS {}", guard.quoted(),
                                  sql::literal("made by pgcarve: takes rows of partitions that are added to " +
                                               m.source->name.display() + " later")));
        for (auto& statement : grant_statements("TABLE " + guard.quoted(), m.source->owner, m.source->grants,
                                                default_grantees(catalog, guard.schema, 'r')))
            out.push_back(std::move(statement));
        // Its clones of row triggers: the parent's are made after it, so they are disabled with the parent's, by name.
    }
}

// The table and what must be there before it is attached.
void make_tables(Statements& out, Catalog const& catalog, std::vector<Made> const& made) {
    out.push_back("SET LOCAL default_tablespace = ''");
    for (auto const& m : made) {
        create_table(out, catalog, m);
        column_settings(out, catalog, m);
        checks(out, m);
    }
}

void disable_triggers(Statements& out, Catalog const& catalog, std::vector<Made> const& made) {
    for (auto const& m : made) {
        bool const guarded = needs_guard(catalog, *m.source);
        for (auto const& trigger : m.source->triggers) {
            out.push_back(fmt::format("ALTER TABLE ONLY {} DISABLE TRIGGER {}", m.target.quoted(), quote_ident(trigger.name)));
            if (guarded && trigger.row_level)
                out.push_back(fmt::format("ALTER TABLE ONLY {} DISABLE TRIGGER {}", guard_name(m.target).quoted(),
                                          quote_ident(trigger.name)));
        }
    }
}

void finish_tables(Statements& out, Catalog const& catalog, std::vector<Made> const& made) {
    for (auto const& m : made)
        triggers(out, m);
    disable_triggers(out, catalog, made);
    for (auto const& m : made) {
        index_settings(out, m);
        statistics(out, catalog, m);
        row_security(out, m);
        comments(out, m);
        ownership(out, catalog, m);
    }
}

} // namespace

std::vector<Step> carry_table_steps(Catalog const& catalog, Pairs const& pairs) {
    std::vector<Step> steps;
    for (auto const& pair : pairs) {
        if (pair.is_partition)
            continue;
        auto const made = tree(catalog, pairs, pair);
        Statements out;
        make_tables(out, catalog, made);
        for (auto const& m : made) {
            if (m.source != made.front().source)
                attach(out, parent_target(pairs, *m.source), m);
        }
        for (auto const& m : made)
            indexes(out, m);
        for (auto const& m : made)
            attach_indexes(out, m);
        make_guards(out, catalog, made);
        finish_tables(out, catalog, made);
        steps.push_back({.id = "table:" + sql::display_ident(pair.target.name),
                         .sql = std::move(out),
                         .lock = "ACCESS SHARE on " + pair.source.display(),
                         .why = fmt::format("{} carries everything of {}", pair.target.display(), pair.source.display()),
                         .undo = {fmt::format("DROP TABLE IF EXISTS {}", pair.target.quoted())}});
    }
    return steps;
}

std::vector<Step> after_backfill_steps(Catalog const& catalog, Pairs const& pairs) {
    std::vector<Step> steps;
    for (auto const& pair : pairs) {
        auto const& table = source_of(catalog, pair);
        for (auto const& c : table.constraints) {
            if (c.type != 'c' || c.validated || !c.enforced || c.inherited)
                continue;
            Step step{.id = fmt::format("check:{}.{}", sql::display_ident(pair.target.name), sql::display_ident(c.name))};
            step.sql.push_back(fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {}", pair.target.quoted(), quote_ident(c.name), c.definition));
            if (c.comment)
                step.sql.push_back(comment_on(fmt::format("CONSTRAINT {} ON {}", quote_ident(c.name), pair.target.quoted()), *c.comment));
            step.lock = "ACCESS EXCLUSIVE on " + pair.target.display();
            step.why = fmt::format("{} was never checked against old rows of {}, so it comes after them", sql::display_ident(c.name),
                                   pair.source.display());
            step.undo = {fmt::format("ALTER TABLE IF EXISTS {} DROP CONSTRAINT IF EXISTS {}", pair.target.quoted(), quote_ident(c.name))};
            steps.push_back(std::move(step));
        }
    }
    return steps;
}

namespace {

// Brings the rows of a new partition from S and takes their first copies out of T's DEFAULT partition: both in the
// transaction that keeps writers of the partition out, so that neither side changes meanwhile.
void move_rows(Statements& out, Catalog const& catalog, TablePair const& pair, QName const& parent) {
    std::vector<std::string> columns;
    for (auto const& column : source_of(catalog, pair).columns) {
        if (column.generated == 0)
            columns.push_back(column.name);
    }
    auto const list = ident_list(columns);
    out.push_back(fmt::format("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}", pair.target.quoted(), list, list,
                              pair.source.quoted()));
    for (auto const& table : catalog.tables) {
        if (table.partition_of != parent || table.partition_bound != "DEFAULT")
            continue;
        std::string same;
        for (auto const& column : pair.key)
            same += fmt::format("{}d.{} = s.{}", same.empty() ? "" : " AND ", quote_ident(column), quote_ident(column));
        out.push_back(fmt::format("DELETE FROM {} d USING {} s WHERE {}", table.name.quoted(), pair.source.quoted(), same));
    }
}

} // namespace

std::vector<Step> carry_new_partition_steps(Catalog const& catalog, Pairs const& pairs, Pairs const& fresh) {
    std::vector<Step> steps;
    for (auto const& pair : fresh) {
        auto const made = tree(catalog, pairs, pair);
        auto const parent = parent_target(pairs, *made.front().source);
        Statements out;
        out.push_back(fmt::format("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", pair.source.quoted()));
        out.push_back("SET LOCAL pgcarve.mirror = 'on'");
        make_tables(out, catalog, made);
        for (auto const& m : made) {
            if (m.source != made.front().source)
                attach(out, parent_target(pairs, *m.source), m);
        }
        for (auto const& m : made)
            indexes(out, m);
        for (auto const& m : made) {
            if (m.source != made.front().source)
                attach_indexes(out, m);
        }
        make_guards(out, catalog, made);
        move_rows(out, catalog, pair, parent);
        attach(out, parent, made.front());
        finish_tables(out, catalog, made);
        steps.push_back({.id = "partition:" + sql::display_ident(pair.target.name),
                         .sql = std::move(out),
                         .lock = "SHARE ROW EXCLUSIVE on " + pair.source.display(),
                         .why = fmt::format("{} got partition {}", made.front().source->partition_of->display(), pair.source.display()),
                         .undo = {}});
    }
    return steps;
}

// ---- switching

std::string set_trigger(QName const& table, std::string const& trigger, char state) {
    auto const* const verb = state == 'D'   ? "DISABLE"
                             : state == 'A' ? "ENABLE ALWAYS"
                             : state == 'R' ? "ENABLE REPLICA"
                                            : "ENABLE";
    return fmt::format("ALTER TABLE ONLY {} {} TRIGGER {}", table.quoted(), verb, quote_ident(trigger));
}

namespace {

bool has_trigger(Table const& table, std::string const& name) {
    return std::ranges::find(table.triggers, name, &model::Trigger::name) != table.triggers.end();
}

} // namespace

std::vector<std::string> hand_over_triggers(Catalog const& catalog, Pairs const& pairs, bool to_target) {
    Statements give;
    Statements take;
    for (auto const& pair : pairs) {
        auto const* const authority = catalog.find(to_target ? pair.source : pair.target);
        auto const* const follower = catalog.find(to_target ? pair.target : pair.source);
        if (authority == nullptr || follower == nullptr)
            continue; // a partition of one side only: its triggers are its parent's clones
        auto const guard = std::ranges::find(catalog.tables, guard_name(pair.target), &Table::name);
        bool const guarded = guard != catalog.tables.end() && guard->partition_of == pair.target;
        for (auto const& trigger : authority->triggers) {
            if (has_trigger(*follower, trigger.name))
                give.push_back(set_trigger(follower->name, trigger.name, trigger.enabled));
            take.push_back(set_trigger(authority->name, trigger.name, 'D'));
            if (guarded && trigger.row_level && has_trigger(*guard, trigger.name))
                give.push_back(set_trigger(guard->name, trigger.name, to_target ? trigger.enabled : 'D'));
        }
    }
    give.insert(give.end(), take.begin(), take.end());
    return give;
}

std::vector<SequencePair> sequence_pairs(Catalog const& catalog, Pairs const& pairs) {
    std::vector<SequencePair> found;
    for (auto const& pair : pairs) {
        auto const* const target = catalog.find(pair.target);
        for (auto const& column : source_of(catalog, pair).columns) {
            if (column.identity == 0 || !column.owned_sequence)
                continue;
            // A column that was added later may own a sequence of another name.
            auto const* const there = target == nullptr ? nullptr : target->column(column.name);
            found.push_back({*column.owned_sequence, there != nullptr && there->owned_sequence
                                                         ? *there->owned_sequence
                                                         : QName{pair.target.schema, column.owned_sequence->name}});
        }
    }
    return found;
}

std::string continue_sequence(QName const& from, QName const& to) {
    return fmt::format("SELECT setval({}::regclass, s.last_value, s.is_called) FROM {} s", sql::literal(to.quoted()), from.quoted());
}

} // namespace pgcarve::ddl
