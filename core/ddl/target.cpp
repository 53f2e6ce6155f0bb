#include "ddl/target.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/error.hpp"
#include "ddl/target_parts.hpp"
#include "ddl/text.hpp"

namespace pgcarve::ddl {

using model::Catalog;
using model::Foundation;
using model::Notice;
using model::Step;
using model::Table;
using sql::display_ident;
using sql::QName;
using sql::quote_ident;

namespace {

class Planner {
public:
    Planner(Catalog const& source, Foundation const& foundation, Catalog const& target, Foundation const& there, Pairs const& pairs,
            std::string const& schema, FoundationOptions const& options)
        : source_{source}, foundation_{foundation}, target_{target}, there_{there}, pairs_{pairs}, schema_{schema}, options_{options} {}

    TargetPlan run() {
        auto wanted = wanted_at_target(source_, target_, pairs_, schema_);
        plan_.notices = std::move(wanted.notices);
        catalog_ = std::move(wanted.catalog);
        std::vector<std::pair<QName, QName>> tables;
        for (auto const& pair : pairs_) {
            if (pair.target.schema != schema_)
                base::bug(fmt::format("the target of {} is not in {}", pair.source.display(), schema_));
            tables.emplace_back(pair.source, pair.target);
            judge(pair);
        }
        for (auto& notice : foundation_notices(foundation_, there_, tables, options_))
            plan_.notices.push_back(std::move(notice));
        names();
        shared_sequences();
        schema_step();
        for (auto& step : foundation_steps(foundation_, there_, target_.roles)) {
            if (step.id != "schema:" + display_ident(schema_))
                plan_.pre_load.push_back(std::move(step));
        }
        if (!understood_)
            return std::move(plan_); // refused, and there is no SQL for it
        for (auto& step : pre_load_steps(catalog_, target_))
            plan_.pre_load.push_back(std::move(step));
        plan_.post_load = post_load_steps(catalog_, target_);
        return std::move(plan_);
    }

private:
    void refuse(std::string object, std::string text, std::string hint) {
        plan_.notices.push_back({true, std::move(object), std::move(text), std::move(hint)});
    }

    void judge(model::TablePair const& pair) {
        auto const& t = source_of(source_, pair);
        judge_kind(plan_.notices, t);
        auto const before = plan_.notices.size();
        judge_definitions(plan_.notices, source_, t);
        understood_ = understood_ && plan_.notices.size() == before;
        if (!pair.is_partition)
            judge_key(plan_.notices, t);
        for (auto const& function : t.loose_functions)
            refuse(t.name.display(),
                   fmt::format("uses {} on every write, which finds other names by the writer's search_path; the stream would not find them", function),
                   fmt::format("ALTER FUNCTION {} SET search_path = …;  -- the schemas that its body needs, and pg_temp last", function));
        if (t.row_security && t.force_row_security && !source_.role.bypass_rls)
            refuse(t.name.display(), fmt::format("forces row level security on its owner, so {} may not see all of its rows", source_.role.name),
                   fmt::format("ALTER ROLE {} BYPASSRLS;  -- by a superuser", quote_ident(source_.role.name)));
        auto const* const have = target_.find(pair.target);
        if (have == nullptr)
            return;
        plan_.existing.push_back(pair.target);
        compare_tables(plan_.notices, catalog_, *catalog_.find(pair.target), target_, *have);
        bool const ours = target_.role.superuser || std::ranges::find(target_.role.member_of, have->owner) != target_.role.member_of.end();
        if (!ours)
            refuse(pair.target.display(), fmt::format("belongs to {} at the target, whose rights {} does not have", have->owner, target_.role.name),
                   fmt::format("at the target: GRANT {} TO {};", quote_ident(have->owner), quote_ident(target_.role.name)));
    }

    // Everything that gets a name must find it free, at the target and among ourselves.
    void names() {
        std::map<QName, std::string> taken; // by what
        for (auto const& relation : target_.relations)
            taken.emplace(relation.name, "");
        std::set<QName> own; // of tables that are there already
        for (auto const& t : catalog_.tables) {
            auto const* const have = target_.find(t.name);
            if (have == nullptr)
                continue;
            for (auto const& index : have->indexes)
                own.insert({t.name.schema, index.name});
            for (auto const& s : target_.sequences) {
                if (s.owned_by == t.name)
                    own.insert(s.name);
            }
        }
        for (auto const& name : own)
            taken.erase(name);
        auto const claim = [&](QName const& name, std::string const& what) {
            auto const [at, free] = taken.emplace(name, what);
            if (!free && at->second.empty())
                refuse(name.display(), fmt::format("is the name of {}, and taken at the target", what), "rename or drop what has it there");
            else if (!free)
                refuse(name.display(), fmt::format("{} and {} would have the same name", what, at->second), "rename one of them");
        };
        for (auto const& t : catalog_.tables) {
            claim(t.name, "the table " + t.name.display());
            for (auto const& index : t.indexes)
                claim({t.name.schema, index.name}, fmt::format("index {} of {}", display_ident(index.name), t.name.display()));
        }
        for (auto const& s : catalog_.sequences)
            claim(s.name, "the sequence of " + s.owned_by->display());
        for (auto const& t : target_.tables) {
            bool const stray = catalog_.find(t.name) == nullptr;
            if (stray && taken.contains(t.name))
                refuse(t.name.display(), "is taken by a table at the target", "rename or drop it there");
        }
    }

    // Two databases cannot draw from one sequence.
    void shared_sequences() {
        for (auto const& s : foundation_.sequences) {
            std::set<std::string> others;
            for (auto const& t : source_.tables) {
                bool const ours = std::ranges::find(pairs_, t.name, &model::TablePair::source) != pairs_.end();
                for (auto const& c : t.columns) {
                    if (!ours && std::ranges::find(c.default_sequences, s.name) != c.default_sequences.end())
                        others.insert(t.name.display());
                }
            }
            if (!others.empty())
                plan_.notices.push_back({false, "sequence " + s.name.display(),
                                         fmt::format("is drawn from by {} too; once the target is the authority both databases hand out the same numbers",
                                                     fmt::join(others, ", ")),
                                         "give one of them another range: ALTER SEQUENCE … RESTART WITH …;"});
        }
    }

    void schema_step() {
        auto const at = std::ranges::find(there_.schemas, schema_, &model::SchemaAccess::name);
        auto const object = "schema " + display_ident(schema_);
        if (at == there_.schemas.end()) {
            if (!there_.may_create_schemas)
                refuse(object, "is missing at the target, where the role may not create schemas",
                       fmt::format("at the target: CREATE SCHEMA {} AUTHORIZATION {};", quote_ident(schema_), quote_ident(target_.role.name)));
            plan_.pre_load.push_back({.id = "schema:" + display_ident(schema_),
                                      .sql = {"CREATE SCHEMA " + quote_ident(schema_)},
                                      .lock = {},
                                      .why = "the service's tables live there",
                                      .undo = {"DROP SCHEMA IF EXISTS " + quote_ident(schema_)}});
        } else if (!at->may_create || !at->may_use) {
            refuse(object, fmt::format("exists at the target, but {} may not create tables in it", target_.role.name),
                   fmt::format("at the target: GRANT USAGE, CREATE ON SCHEMA {} TO {};", quote_ident(schema_), quote_ident(target_.role.name)));
        }
    }

    Catalog const& source_;
    Foundation const& foundation_;
    Catalog const& target_;
    Foundation const& there_;
    Pairs const& pairs_;
    std::string const& schema_;
    FoundationOptions const& options_;
    Catalog catalog_; // as it is wanted
    bool understood_ = true; // every definition could be taken apart
    TargetPlan plan_;
};

} // namespace

TargetPlan plan_target(Catalog const& source, Foundation const& foundation, Catalog const& target, Foundation const& target_foundation,
                       Pairs const& pairs, std::string const& target_schema, FoundationOptions const& options) {
    return Planner{source, foundation, target, target_foundation, pairs, target_schema, options}.run();
}

sql::Sql is_empty_statement(QName const& table) {
    return sql::Sql{"SELECT NOT EXISTS (SELECT FROM "}.add(table).add(") AS empty");
}

ForeignKeys foreign_key_steps(Catalog const& source, Catalog const& target, Pairs const& pairs) {
    auto keys = foreign_keys_inside(source, pairs);
    std::set<std::string> made;
    std::set<std::string> proven;
    for (auto const& pair : pairs) {
        auto const* const t = target.find(pair.target);
        if (t == nullptr)
            continue;
        for (auto const& c : t->constraints) {
            auto const what = display_ident(t->name.name) + "." + display_ident(c.name);
            if (c.type == 'f')
                made.insert(what);
            if (c.type == 'f' && c.validated)
                proven.insert(what);
        }
    }
    auto const behind_colon = [](std::string const& id, std::string_view head) { return behind(id, head).value_or(""); };
    std::erase_if(keys.add_each, [&](Step const& s) { return made.contains(behind_colon(s.id, "keys:add:")); });
    std::erase_if(keys.validate, [&](Step const& s) {
        return proven.contains(behind_colon(s.id, "validate:")) || made.contains(behind_colon(s.id, "join:"));
    });
    keys.add.clear();
    for (auto const& step : keys.add_each)
        keys.add.insert(keys.add.end(), step.sql.begin(), step.sql.end());
    return keys;
}

std::vector<std::string> arm_triggers(Catalog const& like, Pairs const& pairs, bool to_target) {
    Statements out;
    for (auto const& pair : pairs) {
        auto const* const t = like.find(to_target ? pair.source : pair.target);
        for (auto const& trigger : t == nullptr ? std::vector<model::Trigger>{} : t->triggers)
            out.push_back(set_trigger(to_target ? pair.target : pair.source, trigger.name, trigger.enabled));
    }
    return out;
}

std::vector<std::string> disarm_triggers(Catalog const& there, Pairs const& pairs, bool at_target) {
    Statements out;
    for (auto const& pair : pairs) {
        auto const* const t = there.find(at_target ? pair.target : pair.source);
        for (auto const& trigger : t == nullptr ? std::vector<model::Trigger>{} : t->triggers) {
            if (trigger.enabled != 'D')
                out.push_back(set_trigger(t->name, trigger.name, 'D'));
        }
    }
    return out;
}

std::vector<std::string> force_row_security(Catalog const& source, Pairs const& pairs, bool on) {
    Statements out;
    for (auto const& pair : pairs) {
        if (source_of(source, pair).force_row_security)
            out.push_back(fmt::format("ALTER TABLE {} {}FORCE ROW LEVEL SECURITY", pair.target.quoted(), on ? "" : "NO "));
    }
    return out;
}

std::vector<SequenceHandover> sequence_handovers(Catalog const& source, Foundation const& foundation, Pairs const& pairs) {
    std::vector<SequenceHandover> out;
    for (auto const& s : source.sequences) {
        auto const owner = s.owned_by ? std::ranges::find(pairs, *s.owned_by, &model::TablePair::source) : pairs.end();
        if (owner != pairs.end())
            out.push_back({s.name, {owner->target.schema, s.name.name}});
    }
    for (auto const& s : foundation.sequences)
        out.push_back({s.name, s.name});
    return out;
}

sql::Sql read_sequence(QName const& sequence) {
    return sql::Sql{"SELECT s.last_value AS value, s.is_called AS called, p.seqincrement AS increment, p.seqmin AS minimum, p.seqmax AS maximum FROM "}
        .add(sequence)
        .add(" s, pg_catalog.pg_sequence p WHERE p.seqrelid = ")
        .literal(sequence.quoted())
        .add("::pg_catalog.regclass");
}

sql::Sql write_sequence(QName const& sequence, SequenceState const& state, long long margin) {
    long long ahead = 0;
    long long value = 0;
    bool const up = state.increment > 0;
    if (__builtin_mul_overflow(state.increment, margin, &ahead) || __builtin_add_overflow(state.value, ahead, &value))
        value = up ? state.maximum : state.minimum;
    value = std::clamp(value, state.minimum, state.maximum);
    return sql::Sql{"SELECT pg_catalog.setval("}
        .literal(sequence.quoted())
        .add("::pg_catalog.regclass, ")
        .bind(std::to_string(value))
        .add("::bigint, ")
        .bind(state.called ? "true" : "false")
        .add("::boolean)");
}

} // namespace pgcarve::ddl
