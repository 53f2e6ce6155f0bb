#include "ddl/foundation.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "ddl/parts.hpp"
#include "ddl/text.hpp"

namespace pgcarve::ddl {

using model::Foundation;
using model::Step;
using sql::QName;
using sql::quote_ident;

std::string create_sequence(model::Sequence const& s, QName const& name) {
    return fmt::format("CREATE {}SEQUENCE {} AS {} INCREMENT BY {} MINVALUE {} MAXVALUE {} START WITH {} CACHE {}{}",
                       s.persistence == 'u' ? "UNLOGGED " : "", name.quoted(), s.type, s.increment, s.minimum, s.maximum, s.start, s.cache,
                       s.cycle ? " CYCLE" : "");
}

namespace {

template <typename List, typename Name>
auto find_named(List const& list, Name const& name) -> decltype(&list.front()) {
    auto const at = std::ranges::find_if(list, [&](auto const& item) { return item.name == name; });
    return at == list.end() ? nullptr : &*at;
}

model::Function const* find_function(Foundation const& in, std::string const& signature) {
    auto const at = std::ranges::find(in.functions, signature, &model::Function::signature);
    return at == in.functions.end() ? nullptr : &*at;
}

class Maker {
public:
    Maker(Foundation const& here, Foundation const& there, std::vector<std::string> const& roles)
        : here_{here}, there_{there}, roles_{roles.begin(), roles.end()} {}

    std::vector<Step> run() {
        for (auto const& schema : here_.needed_schemas) {
            if (find_named(there_.schemas, schema) == nullptr)
                make("schema:" + sql::display_ident(schema), {"CREATE SCHEMA " + quote_ident(schema)},
                     {"DROP SCHEMA IF EXISTS " + quote_ident(schema)});
        }
        for (auto const& extension : here_.extensions)
            extension_step(extension);
        collect();
        for (auto const& [id, step] : steps_)
            place(id);
        return std::move(ordered_);
    }

private:
    void make(std::string id, Statements sql, Statements undo) {
        ordered_.push_back({.id = id, .sql = std::move(sql), .lock = {}, .why = "the tables stand on it", .undo = std::move(undo)});
    }
    void later(std::string const& id, std::string const& object, Statements sql, std::optional<std::string> const& comment) {
        if (comment)
            sql.push_back(comment_on(object, *comment));
        steps_[id] = {.id = id, .sql = std::move(sql), .lock = {}, .why = "the tables stand on it", .undo = {"DROP " + drop_name(object)}};
    }
    static std::string drop_name(std::string const& object) { // TYPE x → TYPE IF EXISTS x
        for (std::string_view const kind : {"TEXT SEARCH CONFIGURATION ", "TEXT SEARCH DICTIONARY ", "COLLATION ", "DOMAIN ", "TYPE ",
                                            "ROUTINE ", "SEQUENCE "}) {
            if (object.starts_with(kind))
                return fmt::format("{}IF EXISTS {}", kind, object.substr(kind.size()));
        }
        return object;
    }

    // Each step behind what it needs; a circle (which only texts can make) is cut where it was entered.
    void place(std::string const& id) {
        if (!placed_.insert(id).second)
            return;
        auto const needs = here_.needs.find(id);
        if (needs != here_.needs.end()) {
            for (auto const& first : needs->second)
                place(first);
        }
        if (auto const step = steps_.find(id); step != steps_.end())
            ordered_.push_back(step->second);
    }

    void extension_step(model::Extension const& wanted) {
        if (find_named(there_.extensions, wanted.name) != nullptr)
            return;
        auto const* const available = find_named(there_.available, wanted.name);
        bool const placed = available != nullptr && !available->fixed_schema && wanted.schema != "pg_catalog";
        make("extension:" + sql::display_ident(wanted.name),
             {fmt::format("CREATE EXTENSION {}{}", quote_ident(wanted.name), placed ? " SCHEMA " + quote_ident(wanted.schema) : "")},
             {"DROP EXTENSION IF EXISTS " + quote_ident(wanted.name)});
    }

    void collect() {
        for (auto const& c : here_.collations) {
            if (find_named(there_.collations, c.name) == nullptr && c.name.schema != "pg_catalog")
                collation(c);
        }
        for (auto const& e : here_.enums) {
            if (find_named(there_.enums, e.name) == nullptr)
                enumeration(e);
        }
        for (auto const& d : here_.domains) {
            if (find_named(there_.domains, d.name) == nullptr)
                domain(d);
        }
        for (auto const& c : here_.composites) {
            if (find_named(there_.composites, c.name) == nullptr)
                composite(c);
        }
        for (auto const& r : here_.ranges) {
            if (find_named(there_.ranges, r.name) == nullptr)
                range(r);
        }
        for (auto const& s : here_.sequences) {
            if (find_named(there_.sequences, s.name) == nullptr)
                sequence(s);
        }
        for (auto const& d : here_.dictionaries) {
            if (find_named(there_.dictionaries, d.name) == nullptr)
                dictionary(d);
        }
        for (auto const& c : here_.configurations) {
            if (find_named(there_.configurations, c.name) == nullptr)
                configuration(c);
        }
        for (auto const& f : here_.functions) {
            bool const impossible = std::ranges::any_of(f.mentions, &model::Mention::certain); // refused, or only named by a text
            if (find_function(there_, f.signature) == nullptr && !impossible)
                function(f);
        }
    }

    void collation(model::Collation const& c) {
        std::string options;
        auto const option = [&](std::string_view name, std::optional<std::string> const& value) {
            if (value)
                options += fmt::format("{}{} = {}", options.empty() ? "" : ", ", name, sql::literal(*value));
        };
        option("provider", c.provider == 'i' ? "icu" : c.provider == 'b' ? "builtin" : "libc");
        option("lc_collate", c.collate);
        option("lc_ctype", c.ctype);
        option("locale", c.locale);
        option("rules", c.rules);
        if (!c.deterministic)
            options += ", deterministic = false";
        later("collation:" + c.name.display(), "COLLATION " + c.name.quoted(),
              {fmt::format("CREATE COLLATION {} ({})", c.name.quoted(), options)}, c.comment);
    }

    void enumeration(model::Enum const& e) {
        std::string labels;
        for (auto const& label : e.labels)
            labels += (labels.empty() ? "" : ", ") + sql::literal(label);
        later("type:" + e.name.display(), "TYPE " + e.name.quoted(), {fmt::format("CREATE TYPE {} AS ENUM ({})", e.name.quoted(), labels)},
              e.comment);
    }

    void domain(model::Domain const& d) {
        auto text = fmt::format("CREATE DOMAIN {} AS {}", d.name.quoted(), d.base);
        if (d.collation)
            text += " COLLATE " + *d.collation;
        if (d.default_expr)
            text += " DEFAULT " + *d.default_expr;
        if (d.not_null)
            text += " NOT NULL";
        Statements sql{std::move(text)};
        for (auto const& check : d.checks)
            sql.push_back(fmt::format("ALTER DOMAIN {} ADD CONSTRAINT {} {}", d.name.quoted(), quote_ident(check.name), check.definition));
        later("type:" + d.name.display(), "DOMAIN " + d.name.quoted(), std::move(sql), d.comment);
    }

    void composite(model::Composite const& c) {
        std::string attributes;
        for (auto const& a : c.attributes)
            attributes += fmt::format("{}{} {}{}", attributes.empty() ? "" : ", ", quote_ident(a.name), a.type,
                                      a.collation ? " COLLATE " + *a.collation : "");
        later("type:" + c.name.display(), "TYPE " + c.name.quoted(), {fmt::format("CREATE TYPE {} AS ({})", c.name.quoted(), attributes)},
              c.comment);
    }

    void range(model::Range const& r) {
        auto options = "SUBTYPE = " + r.subtype;
        if (r.opclass)
            options += ", SUBTYPE_OPCLASS = " + *r.opclass;
        if (r.collation)
            options += ", COLLATION = " + *r.collation;
        if (r.difference)
            options += ", SUBTYPE_DIFF = " + *r.difference;
        if (r.multirange && there_.server_version >= 140000)
            options += ", MULTIRANGE_TYPE_NAME = " + r.multirange->quoted();
        later("type:" + r.name.display(), "TYPE " + r.name.quoted(), {fmt::format("CREATE TYPE {} AS RANGE ({})", r.name.quoted(), options)},
              r.comment);
    }

    void sequence(model::Sequence const& s) {
        Statements sql{create_sequence(s, s.name)};
        auto const object = "SEQUENCE " + s.name.quoted();
        for (auto const& grant : s.grants) {
            if (grant.grantee != s.owner && has_role(grant.grantee))
                sql.push_back(fmt::format("GRANT {} ON {} TO {}{}", grant.privilege, object, role(grant.grantee),
                                          grant.grantable ? " WITH GRANT OPTION" : ""));
        }
        later("sequence:" + s.name.display(), object, std::move(sql), s.comment);
    }

    void dictionary(model::Dictionary const& d) {
        later("dictionary:" + d.name.display(), "TEXT SEARCH DICTIONARY " + d.name.quoted(),
              {fmt::format("CREATE TEXT SEARCH DICTIONARY {} (TEMPLATE = {}{})", d.name.quoted(), d.template_name,
                           d.options ? ", " + *d.options : "")},
              d.comment);
    }

    void configuration(model::TextSearch const& c) {
        Statements sql{fmt::format("CREATE TEXT SEARCH CONFIGURATION {} (PARSER = {})", c.name.quoted(), c.parser)};
        for (auto const& [token, dictionaries] : c.mappings)
            sql.push_back(fmt::format("ALTER TEXT SEARCH CONFIGURATION {} ADD MAPPING FOR {} WITH {}", c.name.quoted(), quote_ident(token),
                                      fmt::join(dictionaries, ", ")));
        later("configuration:" + c.name.display(), "TEXT SEARCH CONFIGURATION " + c.name.quoted(), std::move(sql), c.comment);
    }

    // Bodies may name what comes later.
    void function(model::Function const& f) {
        auto const object = "ROUTINE " + f.signature;
        Statements sql{"SET LOCAL check_function_bodies = off", f.definition};
        if (std::ranges::find(f.grants, std::string{}, &model::Grant::grantee) == f.grants.end())
            sql.push_back(fmt::format("REVOKE ALL ON {} FROM PUBLIC", object));
        for (auto const& grant : f.grants) {
            if (!grant.grantee.empty() && grant.grantee != f.owner && has_role(grant.grantee))
                sql.push_back(fmt::format("GRANT EXECUTE ON {} TO {}{}", object, role(grant.grantee),
                                          grant.grantable ? " WITH GRANT OPTION" : ""));
        }
        later("function:" + f.signature, object, std::move(sql), f.comment);
    }

    [[nodiscard]] bool has_role(std::string const& name) const { return name.empty() || roles_.contains(name); }
    static std::string role(std::string const& name) { return name.empty() ? "PUBLIC" : quote_ident(name); }

    Foundation const& here_;
    Foundation const& there_;
    std::set<std::string> roles_;
    std::map<std::string, Step> steps_;
    std::set<std::string> placed_;
    std::vector<Step> ordered_;
};

} // namespace

std::vector<Step> foundation_steps(Foundation const& here, Foundation const& there, std::vector<std::string> const& roles) {
    return Maker{here, there, roles}.run();
}

} // namespace pgcarve::ddl
