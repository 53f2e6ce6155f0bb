#include "catalog/foundation.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "catalog/foundation_parts.hpp"
#include "catalog/mentions.hpp"
#include "catalog/parts.hpp"

namespace pgcarve::catalog {

using model::Foundation;
using sql::QName;
using sql::Sql;

namespace {

// Walks pg_depend from the tables and what they are made of (and from `functions`) to what these need, and stops at
// members of extensions, at relations and sequences, and at what came with the server. Binds $1 and $2.
Sql closure(std::string const& tables, std::string const& functions) {
    return Sql{"WITH RECURSIVE t AS (SELECT unnest("}
        .bind(tables)
        .add("::oid[]) AS oid), start(class, object) AS ("
             " SELECT 'pg_class'::regclass::oid, oid FROM t"
             " UNION SELECT 'pg_proc'::regclass::oid, unnest(")
        .bind(functions)
        .add("::oid[])"
             " UNION SELECT 'pg_constraint'::regclass::oid, c.oid FROM pg_constraint c JOIN t ON t.oid = c.conrelid WHERE c.contype NOT IN ('f', 't')"
             " UNION SELECT 'pg_attrdef'::regclass::oid, d.oid FROM pg_attrdef d JOIN t ON t.oid = d.adrelid"
             " UNION SELECT 'pg_class'::regclass::oid, i.indexrelid FROM pg_index i JOIN t ON t.oid = i.indrelid"
             " UNION SELECT 'pg_trigger'::regclass::oid, g.oid FROM pg_trigger g JOIN t ON t.oid = g.tgrelid"
             " JOIN pg_proc p ON p.oid = g.tgfoid WHERE NOT g.tgisinternal AND g.tgname !~ '^pgcarve_'"
             " AND p.pronamespace <> coalesce(to_regnamespace('pgcarve')::oid, 0)"
             " UNION SELECT 'pg_policy'::regclass::oid, p.oid FROM pg_policy p JOIN t ON t.oid = p.polrelid"
             " UNION SELECT 'pg_statistic_ext'::regclass::oid, s.oid FROM pg_statistic_ext s JOIN t ON t.oid = s.stxrelid),"
             // What pg_depend does not say: a domain needs its checks, a composite type its attributes.
             " edges AS (SELECT d.classid AS class, d.objid AS object, d.refclassid AS to_class, d.refobjid AS to_object FROM pg_depend d"
             " WHERE d.refclassid <> 'pg_namespace'::regclass"
             " UNION ALL SELECT 'pg_type'::regclass::oid, k.contypid, 'pg_constraint'::regclass::oid, k.oid FROM pg_constraint k WHERE k.contypid <> 0"
             " UNION ALL SELECT 'pg_type'::regclass::oid, y.oid, 'pg_class'::regclass::oid, y.typrelid FROM pg_type y"
             " JOIN pg_class c ON c.oid = y.typrelid AND c.relkind = 'c'),"
             " closure(class, object) AS (SELECT class, object FROM start UNION SELECT e.to_class, e.to_object FROM closure c"
             " JOIN edges e ON e.class = c.class AND e.object = c.object"
             " LEFT JOIN pg_class k ON c.class = 'pg_class'::regclass AND k.oid = c.object WHERE NOT EXISTS (SELECT FROM pg_depend x"
             " WHERE x.classid = c.class AND x.objid = c.object AND x.deptype = 'e') AND (k.relkind IN ('c', 'i', 'I') OR k.oid IN (SELECT oid FROM t)"
             " OR c.class IN ('pg_type'::regclass, 'pg_proc'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass,"
             " 'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_statistic_ext'::regclass, 'pg_ts_config'::regclass,"
             " 'pg_ts_dict'::regclass)))");
}

using Key = std::pair<std::string, std::uint32_t>; // catalog, oid

struct Node {
    std::string text; // pg_describe_object
    std::optional<std::string> extension;
    char kind = 0; // relkind, typtype or prokind
    std::uint32_t owner_table = 0; // of a sequence
    std::uint32_t row_of = 0;      // of a row type: its relation
    std::optional<QName> relation;
    std::string language; // of a function
    bool builtin = false;
    bool start = false;
};

class Closure {
public:
    Closure(pg::Session& session, std::string const& tables, std::string const& functions) {
        for (auto const row : session.query(
                 closure(tables, functions)
                     .add(" SELECT c.class::regclass::text AS class, c.object::bigint AS oid, pg_describe_object(c.class, c.object, 0) AS text,"
                          " (SELECT e.extname FROM pg_depend x JOIN pg_extension e ON e.oid = x.refobjid WHERE x.classid = c.class"
                          " AND x.objid = c.object AND x.deptype = 'e') AS extension, coalesce(k.relkind, y.typtype, p.prokind) AS kind,"
                          " (SELECT x.refobjid FROM pg_depend x WHERE k.relkind = 'S' AND x.classid = 'pg_class'::regclass AND x.objid = k.oid"
                          " AND x.refclassid = 'pg_class'::regclass AND x.refobjsubid > 0 AND x.deptype IN ('a', 'i'))::bigint AS owner_table,"
                          " (SELECT r.oid FROM pg_class r WHERE r.oid = y.typrelid AND r.relkind <> 'c')::bigint AS row_of,"
                          " n.nspname, k.relname, l.lanname, c.object < 16384 AND NOT (c.class = 'pg_collation'::regclass) AS builtin,"
                          " EXISTS (SELECT FROM start s WHERE s.class = c.class AND s.object = c.object) AS start FROM closure c"
                          " LEFT JOIN pg_class k ON c.class = 'pg_class'::regclass AND k.oid = c.object"
                          " LEFT JOIN pg_namespace n ON n.oid = k.relnamespace"
                          " LEFT JOIN pg_type y ON c.class = 'pg_type'::regclass AND y.oid = c.object"
                          " LEFT JOIN pg_proc p ON c.class = 'pg_proc'::regclass AND p.oid = c.object"
                          " LEFT JOIN pg_language l ON l.oid = p.prolang ORDER BY 1, 2"))) {
            Node node;
            node.text = row.maybe("text").value_or("");
            node.extension = row.maybe("extension");
            node.kind = row.letter("kind");
            if (row.maybe("owner_table"))
                node.owner_table = oid_of(row, "owner_table");
            if (row.maybe("row_of"))
                node.row_of = oid_of(row, "row_of");
            if (row.maybe("relname"))
                node.relation = name_of(row, "nspname", "relname");
            node.language = row.maybe("lanname").value_or("");
            node.builtin = row.boolean("builtin");
            node.start = row.boolean("start");
            nodes.emplace(Key{row.text("class"), oid_of(row, "oid")}, std::move(node));
        }
        for (auto const row : session.query(
                 closure(tables, functions)
                     .add(" SELECT DISTINCT c.class::regclass::text AS class, c.object::bigint AS oid, e.to_class::regclass::text AS to_class,"
                          " e.to_object::bigint AS to_oid FROM closure c JOIN edges e ON e.class = c.class AND e.object = c.object"
                          " JOIN closure d ON d.class = e.to_class AND d.object = e.to_object ORDER BY 1, 2, 3, 4")))
            edges[{row.text("class"), oid_of(row, "oid")}].insert({row.text("to_class"), oid_of(row, "to_oid")});
    }

    std::map<Key, Node> nodes;
    std::map<Key, std::set<Key>> edges;
};

struct Texts { // what function bodies are searched for
    TableNames tables;
    TableNames functions;
    std::multimap<QName, std::uint32_t> function_oids;
};

Texts texts(pg::Session& session) {
    std::vector<QName> tables;
    for (auto const row : session.query(
             Sql{"SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                 " WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND "}
                 .add(user_schema)
                 .add(" AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid"
                      " AND e.deptype = 'e')")))
        tables.push_back(name_of(row, "nspname", "relname"));
    std::vector<QName> functions;
    std::multimap<QName, std::uint32_t> oids;
    for (auto const row : session.query(
             Sql{"SELECT p.oid::bigint AS oid, n.nspname, p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
                 " JOIN pg_language l ON l.oid = p.prolang WHERE p.prokind <> 'a' AND l.lanname NOT IN ('c', 'internal') AND "}
                 .add(user_schema)
                 .add(" AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid"
                      " AND e.deptype = 'e')"))) {
        functions.push_back(name_of(row, "nspname", "proname"));
        oids.emplace(functions.back(), oid_of(row, "oid"));
    }
    return {TableNames{tables}, TableNames{functions}, std::move(oids)};
}

bool called(std::string_view body, std::string_view name) {
    for (auto at = body.find(name); at != std::string_view::npos; at = body.find(name, at + 1)) {
        auto const next = body.find_first_not_of(" \t\r\n\"", at + name.size());
        if (next != std::string_view::npos && body[next] == '(')
            return true;
    }
    return false;
}

// Functions that the bodies of the closure's functions call, as far as the closure does not hold them already.
Oids called_by_text(pg::Session& session, Closure const& closure, Texts const& texts) {
    Oids inside;
    for (auto const& [key, node] : closure.nodes) {
        if (key.first == "pg_proc" && !node.extension && !node.builtin)
            inside.push_back(key.second);
    }
    std::set<std::uint32_t> found;
    for (auto const row : session.query(Sql{"SELECT prosrc FROM pg_proc WHERE oid = ANY ("}.bind(oid_array(inside)).add("::oid[])"))) {
        auto const body = row.text("prosrc");
        for (auto const& [name, qualified] : texts.functions.mentions(body)) {
            if (!called(body, name.name))
                continue;
            auto const [first, last] = texts.function_oids.equal_range(name);
            for (auto at = first; at != last; ++at) {
                if (!closure.nodes.contains({"pg_proc", at->second}))
                    found.insert(at->second);
            }
        }
    }
    return {found.begin(), found.end()};
}

class Builder {
public:
    Builder(pg::Session& session, std::vector<base::Oid> const& tables) : session_{session} {
        for (auto const table : tables)
            tables_.push_back(table.value);
    }

    Foundation run() {
        auto const names = texts(session_);
        Closure closure{session_, oid_array(tables_), "{}"};
        std::set<std::uint32_t> certain;
        for (auto const& [key, node] : closure.nodes) {
            if (key.first == "pg_proc")
                certain.insert(key.second);
        }
        Oids extra;
        for (auto more = called_by_text(session_, closure, names); !more.empty(); more = called_by_text(session_, closure, names)) {
            extra.insert(extra.end(), more.begin(), more.end());
            closure = Closure{session_, oid_array(tables_), oid_array(extra)};
        }
        describe_database(session_, out_);
        sort_out(closure);
        auto const ids = describe(session_, out_, wanted_);
        needs(closure, ids);
        unmakeable(closure, ids);
        mentions(names, closure, certain, ids);
        extensions(closure);
        schemas();
        return std::move(out_);
    }

private:
    [[nodiscard]] bool is_table(std::uint32_t oid) const { return std::ranges::find(tables_, oid) != tables_.end(); }

    // What a type stands for: arrays and multiranges are made with their element.
    [[nodiscard]] bool makeable(Key const& key, Node const& node) const {
        if (key.first == "pg_type")
            return node.row_of == 0 && (node.kind == 'e' || node.kind == 'd' || node.kind == 'c' || node.kind == 'r');
        if (key.first == "pg_class")
            return node.kind == 'S' && !is_table(node.owner_table);
        if (key.first == "pg_proc")
            return node.kind != 'a' && node.language != "c" && node.language != "internal";
        return key.first == "pg_collation" || key.first == "pg_ts_dict" || key.first == "pg_ts_config";
    }
    [[nodiscard]] static bool foreign(Node const& node) { return node.extension || node.builtin; }

    void sort_out(Closure const& closure) {
        for (auto const& [key, node] : closure.nodes) {
            if (!foreign(node) && makeable(key, node))
                wanted_[key.first].push_back(key.second);
        }
    }

    // From each thing to the nearest described ones, through arrays, constraints and the like.
    void needs(Closure const& closure, std::map<Key, std::string> const& ids) {
        for (auto const& [key, id] : ids) {
            auto& all = out_.needs[id];
            std::set<Key> seen{key};
            std::vector<Key> todo{key};
            while (!todo.empty()) {
                auto const at = closure.edges.find(todo.back());
                todo.pop_back();
                if (at == closure.edges.end())
                    continue;
                for (auto const& next : at->second) {
                    if (!seen.insert(next).second)
                        continue;
                    auto const known = ids.find(next);
                    if (known != ids.end() && known->second != id)
                        all.insert(known->second);
                    else
                        todo.push_back(next);
                }
            }
        }
    }

    // Needed, and neither made by us nor there already nor an extension's.
    void unmakeable(Closure const& closure, std::map<Key, std::string> const& ids) {
        std::set<std::pair<std::string, std::string>> told;
        for (auto const& [from, targets] : closure.edges) {
            auto const& by = closure.nodes.at(from);
            if (foreign(by))
                continue;
            for (auto const& to : targets) {
                auto const& node = closure.nodes.at(to);
                auto const known = ids.find(from);
                auto const id = known == ids.end() ? std::string{} : known->second;
                if (foreign(node) || ids.contains(to) || (node.start && to.first != "pg_class"))
                    continue;
                bool const own_table = to.first == "pg_class" && is_table(to.second);
                if (own_table && !is_function(from)) // also a policy that reads another table of the service, and row types
                    continue;
                bool const relation = to.first == "pg_class" && std::string_view{"rpvmf"}.find(node.kind) != std::string_view::npos;
                bool const harmless = to.first == "pg_constraint" || to.first == "pg_extension" || to.first == "pg_attrdef" ||
                                      (to.first == "pg_class" && !relation) ||
                                      (to.first == "pg_type" && (node.row_of != 0 || is_derived(closure, to, ids)));
                if (harmless)
                    continue;
                if (relation && is_function(from)) {
                    certain_[id].insert(*node.relation);
                    continue;
                }
                if (told.emplace(node.text, by.text).second)
                    out_.unmakeable.push_back({node.text, by.text, relation ? node.relation : std::nullopt, id});
            }
        }
    }
    [[nodiscard]] static bool is_function(Key const& key) { return key.first == "pg_proc"; }

    // An array or a multirange of something that is made, or of an extension's.
    [[nodiscard]] static bool is_derived(Closure const& closure, Key const& type, std::map<Key, std::string> const& ids) {
        auto const at = closure.edges.find(type);
        if (at == closure.edges.end())
            return false;
        return std::ranges::any_of(at->second, [&](Key const& next) {
            auto const& node = closure.nodes.at(next);
            return next.first == "pg_type" && (ids.contains(next) || foreign(node) || node.row_of != 0);
        });
    }

    void mentions(Texts const& texts, Closure const& closure, std::set<std::uint32_t> const& certain, std::map<Key, std::string> const& ids) {
        std::map<std::string, std::string> bodies;
        std::map<std::string, bool> by_text;
        for (auto const row : session_.query(Sql{"SELECT oid::bigint AS oid, prosrc FROM pg_proc WHERE oid = ANY ("}
                                                 .bind(oid_array(wanted_["pg_proc"]))
                                                 .add("::oid[])"))) {
            auto const id = ids.at({"pg_proc", oid_of(row, "oid")});
            bodies.emplace(id, row.text("prosrc"));
            by_text.emplace(id, !certain.contains(oid_of(row, "oid")));
        }
        for (auto& f : out_.functions) {
            auto const id = "function:" + f.signature;
            f.by_text = by_text.at(id);
            // Row types of tables as arguments, and bodies that the server understands.
            for (auto const& table : certain_[id])
                f.mentions.push_back({table, true, true});
            if (!f.string_body)
                continue;
            for (auto const& [table, qualified] : texts.tables.mentions(bodies.at(id))) {
                if (!certain_[id].contains(table))
                    f.mentions.push_back({table, qualified, false});
            }
        }
        row_types(closure, ids);
    }

    // Functions whose arguments or results are rows of a table.
    void row_types(Closure const& closure, std::map<Key, std::string> const& ids) {
        for (auto const& [from, targets] : closure.edges) {
            auto const id = ids.find(from);
            if (!is_function(from) || id == ids.end())
                continue;
            for (auto const& to : targets) {
                auto const row_of = closure.nodes.at(to).row_of;
                auto const relation = closure.nodes.find({"pg_class", row_of});
                auto const f = std::ranges::find_if(out_.functions, [&](auto const& x) { return "function:" + x.signature == id->second; });
                if (row_of != 0 && relation != closure.nodes.end() && relation->second.relation && f != out_.functions.end())
                    f->mentions.push_back({*relation->second.relation, true, true});
            }
        }
    }

    void extensions(Closure const& closure) {
        std::set<std::string> needed;
        for (auto const& [key, node] : closure.nodes) {
            if (node.extension)
                needed.insert(*node.extension);
        }
        std::erase_if(out_.extensions, [&](model::Extension const& e) { return !needed.contains(e.name); });
    }

    void schemas() {
        std::set<std::string> all;
        auto const add = [&](auto const& list) {
            for (auto const& item : list)
                all.insert(item.name.schema);
        };
        add(out_.collations);
        add(out_.enums);
        add(out_.domains);
        add(out_.composites);
        add(out_.ranges);
        add(out_.functions);
        add(out_.sequences);
        add(out_.dictionaries);
        add(out_.configurations);
        for (auto const& extension : out_.extensions)
            all.insert(extension.schema);
        all.erase("pg_catalog");
        out_.needed_schemas.assign(all.begin(), all.end());
    }

    pg::Session& session_;
    Oids tables_;
    OidsByClass wanted_;
    std::map<std::string, std::set<QName>> certain_; // function id, tables
    Foundation out_;
};

// Names as two arrays, for a join on unnest($1, $2).
struct NameArrays {
    std::vector<std::string> schemas;
    std::vector<std::string> names;

    template <typename List>
    void add(List const& list) {
        for (auto const& item : list) {
            schemas.push_back(item.name.schema);
            names.push_back(item.name.name);
        }
    }
};

Oids resolve(pg::Session& session, Sql::Fixed query, NameArrays const& names) {
    Oids oids;
    for (auto const row : session.query(Sql{query}
                                            .add(" JOIN unnest(")
                                            .bind(pg::format_array(names.schemas))
                                            .add("::name[], ")
                                            .bind(pg::format_array(names.names))
                                            .add("::name[]) AS w(schema, name) ON w.schema = n.nspname AND w.name = o.name")))
        oids.push_back(oid_of(row, "oid"));
    return oids;
}

} // namespace

Foundation read_foundation(pg::Session& session, std::vector<base::Oid> const& tables) {
    std::optional<pg::Transaction> own;
    if (!session.in_transaction())
        own.emplace(session, pg::Isolation::repeatable_read, pg::Access::read_only);
    auto found = Builder{session, tables}.run();
    if (own)
        own->commit();
    return found;
}

Foundation read_foundation_like(pg::Session& session, Foundation const& wanted) {
    std::optional<pg::Transaction> own;
    if (!session.in_transaction())
        own.emplace(session, pg::Isolation::repeatable_read, pg::Access::read_only);

    OidsByClass oids;
    NameArrays types;
    types.add(wanted.enums);
    types.add(wanted.domains);
    types.add(wanted.composites);
    types.add(wanted.ranges);
    oids["pg_type"] = resolve(session, "SELECT o.oid::bigint AS oid FROM (SELECT oid, typname AS name, typnamespace AS schema FROM pg_type) o"
                                       " JOIN pg_namespace n ON n.oid = o.schema", types);
    NameArrays collations;
    collations.add(wanted.collations);
    oids["pg_collation"] = resolve(session, "SELECT o.oid::bigint AS oid FROM (SELECT oid, collname AS name, collnamespace AS schema"
                                            " FROM pg_collation WHERE collencoding IN (-1, (SELECT encoding FROM pg_database"
                                            " WHERE datname = current_database()))) o JOIN pg_namespace n ON n.oid = o.schema", collations);
    NameArrays sequences;
    sequences.add(wanted.sequences);
    oids["pg_class"] = resolve(session, "SELECT o.oid::bigint AS oid FROM (SELECT oid, relname AS name, relnamespace AS schema FROM pg_class"
                                        " WHERE relkind = 'S') o JOIN pg_namespace n ON n.oid = o.schema", sequences);
    NameArrays dictionaries;
    dictionaries.add(wanted.dictionaries);
    oids["pg_ts_dict"] = resolve(session, "SELECT o.oid::bigint AS oid FROM (SELECT oid, dictname AS name, dictnamespace AS schema FROM pg_ts_dict) o"
                                          " JOIN pg_namespace n ON n.oid = o.schema", dictionaries);
    NameArrays configurations;
    configurations.add(wanted.configurations);
    oids["pg_ts_config"] = resolve(session, "SELECT o.oid::bigint AS oid FROM (SELECT oid, cfgname AS name, cfgnamespace AS schema FROM pg_ts_config) o"
                                            " JOIN pg_namespace n ON n.oid = o.schema", configurations);
    std::vector<std::string> signatures; // overloads are told apart by what regprocedure prints
    NameArrays functions;
    functions.add(wanted.functions);
    for (auto const& function : wanted.functions)
        signatures.push_back(function.signature);
    for (auto const row : session.query(Sql{"SELECT p.oid::bigint AS oid FROM pg_proc p WHERE p.prokind <> 'a' AND p.proname = ANY ("}
                                            .bind(pg::format_array(functions.names))
                                            .add("::name[]) AND p.oid::regprocedure::text = ANY (")
                                            .bind(pg::format_array(signatures))
                                            .add("::text[])")))
        oids["pg_proc"].push_back(oid_of(row, "oid"));

    Foundation found;
    describe_database(session, found);
    describe(session, found, oids);
    if (own)
        own->commit();
    return found;
}

} // namespace pgcarve::catalog
