// Where a target's foundation differs from what the tables need, and what cannot be made there.
#include <algorithm>
#include <sstream>

#include <fmt/format.h>

#include "ddl/foundation.hpp"
#include "ddl/names.hpp"

namespace pgcarve::ddl {

using model::Foundation;
using model::Notice;
using sql::QName;
using sql::quote_ident;

namespace {

std::string maybe(std::optional<std::string> const& text) { return text.value_or("none"); }

std::vector<std::string> lines(std::string const& text) {
    std::vector<std::string> all;
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);)
        all.push_back(line);
    return all;
}

std::string first_difference(std::string const& a, std::string const& b) {
    auto const x = lines(a);
    auto const y = lines(b);
    for (std::size_t i = 0; i < std::max(x.size(), y.size()); ++i) {
        auto const here = i < x.size() ? x[i] : "nothing";
        auto const there = i < y.size() ? y[i] : "nothing";
        if (here != there)
            return fmt::format("line {}: “{}” at the source, “{}” at the target", i + 1, here, there);
    }
    return {};
}

class Judge {
public:
    Judge(Foundation const& here, Foundation const& there, std::vector<std::pair<QName, QName>> const& tables, FoundationOptions const& options)
        : here_{here}, there_{there}, tables_{tables}, options_{options} {}

    std::vector<Notice> run() {
        database();
        schemas();
        extensions();
        for (auto const& u : here_.unmakeable) {
            if (is_only_named(u.id))
                note(u.what, fmt::format("is needed by {}, which is not made", u.by), {});
            else
                refuse(u.what, fmt::format("is needed by {}; pgcarve does not make it in another database", u.by),
                       "leave what needs it out of the service, or drop it");
        }
        each(here_.collations, there_.collations, "collation", [&](auto const& a, auto const& b) { collation(a, b); });
        each(here_.enums, there_.enums, "type", [&](auto const& a, auto const& b) {
            if (a.labels != b.labels)
                refuse("type " + a.name.display(), fmt::format("has the labels {} at the source and {} at the target", labels(a), labels(b)),
                       fmt::format("at the target: ALTER TYPE {} ADD VALUE …; or DROP TYPE {};", a.name.quoted(), a.name.quoted()));
        });
        each(here_.domains, there_.domains, "type", [&](auto const& a, auto const& b) { domain(a, b); });
        each(here_.composites, there_.composites, "type", [&](auto const& a, auto const& b) {
            if (a.attributes != b.attributes)
                differs("type", a.name, "attributes", attributes(a), attributes(b));
        });
        each(here_.ranges, there_.ranges, "type", [&](auto const& a, auto const& b) { range(a, b); });
        for (auto const& r : here_.ranges) {
            if (r.canonical)
                refuse("type " + r.name.display(), "has the canonical function " + *r.canonical + ", which only a superuser can give a range type",
                       "make the type at the target as a superuser");
        }
        each(here_.sequences, there_.sequences, "sequence", [&](auto const& a, auto const& b) {
            if (sequence(a) != sequence(b))
                differs("sequence", a.name, "definition", sequence(a), sequence(b));
        });
        each(here_.dictionaries, there_.dictionaries, "text search dictionary", [&](auto const& a, auto const& b) {
            if (a.template_name != b.template_name || a.options != b.options)
                differs("text search dictionary", a.name, "definition", a.template_name + " " + maybe(a.options),
                        b.template_name + " " + maybe(b.options));
        });
        each(here_.configurations, there_.configurations, "text search configuration", [&](auto const& a, auto const& b) {
            if (a.parser != b.parser || a.mappings != b.mappings)
                differs("text search configuration", a.name, "mappings", mappings(a), mappings(b));
        });
        for (auto const& f : here_.functions)
            function(f);
        return std::move(notices_);
    }

private:
    void refuse(std::string object, std::string text, std::string hint) {
        notices_.push_back({true, std::move(object), std::move(text), std::move(hint)});
    }
    void note(std::string object, std::string text, std::string hint) {
        notices_.push_back({false, std::move(object), std::move(text), std::move(hint)});
    }
    void differs(std::string const& kind, QName const& name, std::string const& what, std::string const& a, std::string const& b) {
        refuse(kind + " " + name.display(), fmt::format("has the {} {} at the source and {} at the target", what, a, b),
               fmt::format("make them equal, or drop the {} at the target when nothing uses it", kind));
    }

    // Calls `compare` for what both have; asks for the right to make the rest.
    template <typename List, typename Compare>
    void each(List const& ours, List const& theirs, std::string const& kind, Compare const& compare) {
        for (auto const& a : ours) {
            auto const b = std::ranges::find_if(theirs, [&](auto const& x) { return x.name == a.name; });
            if (b != theirs.end())
                compare(a, *b);
            else
                creatable(kind + " " + a.name.display(), a.name.schema);
        }
    }
    [[nodiscard]] bool is_only_named(std::string const& id) const {
        return std::ranges::any_of(here_.functions, [&](model::Function const& f) { return f.by_text && "function:" + f.signature == id; });
    }

    void database() {
        if (here_.encoding != there_.encoding && there_.encoding != "UTF8")
            refuse("the target database", fmt::format("is encoded in {}, the source in {}", there_.encoding, here_.encoding),
                   "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0;");
        if (here_.locale != there_.locale)
            note("the target database", fmt::format("has the locale {}, the source {}: texts sort in another order", there_.locale, here_.locale),
                 "compare what depends on it: ORDER BY, ranges of text");
        if (there_.server_version / 10'000 < here_.server_version / 10'000)
            refuse("the target server", fmt::format("is version {}, older than the source's {}", there_.server_version / 10'000, here_.server_version / 10'000),
                   "choose a server that is not older");
    }

    [[nodiscard]] model::SchemaAccess const* schema(std::string const& name) const {
        auto const at = std::ranges::find(there_.schemas, name, &model::SchemaAccess::name);
        return at == there_.schemas.end() ? nullptr : &*at;
    }
    void creatable(std::string const& object, std::string const& in) {
        auto const* const s = schema(in);
        if (in == "pg_catalog")
            refuse(object, "comes with the source's server and the target's does not have it", "install what provides it at the target");
        else if (s != nullptr && !s->may_create)
            refuse(object, fmt::format("is missing at the target, where the role may not create in schema {}", in),
                   fmt::format("at the target: GRANT CREATE ON SCHEMA {} TO …;", quote_ident(in)));
    }

    void schemas() {
        for (auto const& name : here_.needed_schemas) {
            if (schema(name) == nullptr && !there_.may_create_schemas)
                refuse("schema " + sql::display_ident(name), "is missing at the target, where the role may not create schemas",
                       "at the target: GRANT CREATE ON DATABASE … TO …;");
        }
    }

    void extensions() {
        for (auto const& e : here_.extensions) {
            auto const there = std::ranges::find(there_.extensions, e.name, &model::Extension::name);
            auto const object = "extension " + sql::display_ident(e.name);
            if (there != there_.extensions.end()) {
                if (there->schema != e.schema)
                    refuse(object, fmt::format("is in schema {} at the source and in {} at the target", e.schema, there->schema),
                           fmt::format("at the target: ALTER EXTENSION {} SET SCHEMA {};", quote_ident(e.name), quote_ident(e.schema)));
                if (there->version != e.version)
                    note(object, fmt::format("has version {} at the source and {} at the target", e.version, there->version),
                         fmt::format("ALTER EXTENSION {} UPDATE;", quote_ident(e.name)));
                continue;
            }
            auto const available = std::ranges::find(there_.available, e.name, &model::AvailableExtension::name);
            if (available == there_.available.end()) {
                refuse(object, "is not installed on the target's server", "install its package there");
            } else if (!available->creatable) {
                refuse(object, "is missing at the target, and the role may not create it",
                       fmt::format("at the target, as a superuser: CREATE EXTENSION {} SCHEMA {};", quote_ident(e.name), quote_ident(e.schema)));
            } else if (auto const* const s = schema(e.schema); s != nullptr && !s->may_create && e.schema != "pg_catalog") {
                creatable(object, e.schema);
            }
        }
    }

    static std::string collation_text(model::Collation const& c) {
        return fmt::format("provider {}, {}{}{}{}{}", c.provider, maybe(c.collate), c.ctype ? "/" + *c.ctype : "",
                           c.locale ? "/" + *c.locale : "", c.rules ? " rules " + *c.rules : "", c.deterministic ? "" : ", not deterministic");
    }
    void collation(model::Collation const& a, model::Collation const& b) {
        if (collation_text(a) != collation_text(b)) {
            differs("collation", a.name, "definition", collation_text(a), collation_text(b));
            return;
        }
        if (a.version == b.version)
            return;
        auto const text = fmt::format("has version {} at the source and {} at the target: texts may sort and compare in another way",
                                      maybe(a.version), maybe(b.version));
        auto const* const hint = "give the target's server the same library, or look at what depends on the order: unique indexes, ranges of text";
        if (options_.collation_versions_refuse)
            refuse("collation " + a.name.display(), text, hint);
        else
            note("collation " + a.name.display(), text, hint);
    }

    static std::string labels(model::Enum const& e) {
        std::string out;
        for (auto const& label : e.labels)
            out += (out.empty() ? "" : ", ") + sql::literal(label);
        return out;
    }
    static std::string attributes(model::Composite const& c) {
        std::string out;
        for (auto const& a : c.attributes)
            out += fmt::format("{}{} {}{}", out.empty() ? "(" : ", ", sql::display_ident(a.name), a.type, a.collation ? " COLLATE " + *a.collation : "");
        return out + ")";
    }
    static std::string sequence(model::Sequence const& s) {
        return fmt::format("{} start {} increment {} between {} and {} cache {}{}", s.type, s.start, s.increment, s.minimum, s.maximum, s.cache,
                           s.cycle ? " cycle" : "");
    }
    static std::string mappings(model::TextSearch const& c) {
        std::string out = c.parser;
        for (auto const& [token, dictionaries] : c.mappings)
            out += fmt::format(", {} with {}", token, fmt::join(dictionaries, " "));
        return out;
    }

    void domain(model::Domain const& a, model::Domain const& b) {
        auto const compare = [&](std::string const& what, std::string const& x, std::string const& y) {
            if (canonical(x) != canonical(y))
                differs("type", a.name, what, x, y);
        };
        compare("base type", a.base, b.base);
        compare("collation", maybe(a.collation), maybe(b.collation));
        compare("default", maybe(a.default_expr), maybe(b.default_expr));
        compare("NULL rule", a.not_null ? "NOT NULL" : "NULL", b.not_null ? "NOT NULL" : "NULL");
        auto const check = [](model::Domain const& d, std::string const& name) {
            auto const at = std::ranges::find(d.checks, name, &model::DomainCheck::name);
            return at == d.checks.end() ? std::string{"none"} : at->definition;
        };
        for (auto const& c : a.checks)
            compare("check " + sql::display_ident(c.name), c.definition, check(b, c.name));
        for (auto const& c : b.checks) {
            if (check(a, c.name) == "none")
                differs("type", a.name, "check " + sql::display_ident(c.name), "none", c.definition);
        }
    }

    void range(model::Range const& a, model::Range const& b) {
        auto const text = [](model::Range const& r) {
            return fmt::format("{} opclass {} collation {} canonical {} difference {}", r.subtype, maybe(r.opclass), maybe(r.collation),
                               maybe(r.canonical), maybe(r.difference));
        };
        if (text(a) != text(b))
            differs("type", a.name, "definition", text(a), text(b));
        if (a.multirange && b.multirange && *a.multirange != *b.multirange)
            differs("type", a.name, "multirange", a.multirange->display(), b.multirange->display());
    }

    static bool path_has(std::string const& path, std::string const& schema) {
        std::istringstream in{path};
        for (std::string item; std::getline(in, item, ',');) {
            auto const start = item.find_first_not_of(' ');
            if (start != std::string::npos && (item.substr(start) == schema || item.substr(start) == quote_ident(schema)))
                return true;
        }
        return false;
    }
    // Tables that it names without a schema and that move: it finds them when its caller's search_path says so.
    [[nodiscard]] std::vector<std::string> found_by_path(model::Function const& f) const {
        std::vector<std::string> found;
        for (auto const& m : f.mentions) {
            auto const at = std::ranges::find(tables_, m.table, &std::pair<QName, QName>::first);
            if (at != tables_.end() && !m.qualified && !f.search_path && at->first.schema != at->second.schema)
                found.push_back(at->second.display());
        }
        return found;
    }

    // What a function names and will not find: "public.audit_log, which the target will not have".
    [[nodiscard]] std::vector<std::string> lost(model::Function const& f) const {
        auto const target = [&](QName const& table) {
            auto const at = std::ranges::find(tables_, table, &std::pair<QName, QName>::first);
            return at == tables_.end() ? std::optional<QName>{} : std::optional{at->second};
        };
        std::vector<std::string> found;
        for (auto const& m : f.mentions) {
            auto const there = target(m.table);
            bool const same_name_stays = !m.qualified && std::ranges::any_of(f.mentions, [&](model::Mention const& other) {
                return other.table.name == m.table.name && target(other.table);
            });
            if (!m.qualified && f.search_path && there && *there != m.table && !path_has(*f.search_path, there->schema)) {
                found.push_back(fmt::format("{}, which is {} at the target, outside of the function's search_path", m.table.display(), there->display()));
                continue;
            }
            if (same_name_stays || (there && (*there == m.table || !m.qualified)))
                continue;
            found.push_back(there ? fmt::format("{}, which is {} at the target", m.table.display(), there->display())
                                  : fmt::format("{}, which the target will not have", m.table.display()));
        }
        std::ranges::sort(found);
        found.erase(std::unique(found.begin(), found.end()), found.end());
        return found;
    }

    void function(model::Function const& f) {
        auto const there = std::ranges::find(there_.functions, f.signature, &model::Function::signature);
        auto const object = "function " + f.signature;
        auto const gone = lost(f);
        bool const certain = std::ranges::any_of(f.mentions, &model::Mention::certain);
        if (auto const by_path = found_by_path(f); !by_path.empty() && there == there_.functions.end())
            note(object, fmt::format("names tables without their schema; it finds {} by the search_path of whoever calls it", fmt::join(by_path, ", ")),
                 "put the service's schema into the search_path of its role at the target");
        if (there != there_.functions.end()) {
            bool const equal = f.definition == there->definition;
            if (!equal && !gone.empty())
                note(object, "has a body of its own at the target, since the source's names " + fmt::format("{}", fmt::join(gone, "; ")), {});
            else if (!equal)
                refuse(object, "differs: " + first_difference(f.definition, there->definition), "make the target's like the source's, or drop it");
            else if (!gone.empty())
                note(object, "names " + fmt::format("{}", fmt::join(gone, "; ")) + "; the target has it as it is", {});
            return;
        }
        creatable(object, f.name.schema);
        if (gone.empty() && !certain)
            return;
        auto const text = gone.empty() ? std::string{"takes or reads rows of the service's tables, so it can only be made behind them"}
                                       : fmt::format("names {}", fmt::join(gone, "; "));
        if (f.by_text || (!certain && !options_.mentions_refuse))
            note(object, text, "give the target a body that works there");
        else
            refuse(object, text,
                   fmt::format("at the target, create {} with a body that works there (pgcarve leaves it alone), or drop at the source what calls it",
                               f.signature));
    }

    Foundation const& here_;
    Foundation const& there_;
    std::vector<std::pair<QName, QName>> const& tables_;
    FoundationOptions const& options_;
    std::vector<Notice> notices_;
};

} // namespace

std::vector<Notice> foundation_notices(Foundation const& here, Foundation const& there, std::vector<std::pair<QName, QName>> const& tables,
                                       FoundationOptions const& options) {
    return Judge{here, there, tables, options}.run();
}

} // namespace pgcarve::ddl
