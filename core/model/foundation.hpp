// What tables stand on: everything that must be in a database before they can be made in it,
// as plain values. Schema-qualified names stay what they are, wherever the tables go.
//
// Read by catalog/foundation.hpp (of a source: what its tables need; of a target: what is
// there under these names), consumed by ddl/foundation.hpp. Objects of an extension are
// represented by their extension. Texts are the server's own, under search_path = pg_catalog.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/catalog.hpp"

namespace pgcarve::model {

struct Extension {
    std::string name;
    std::string version;
    std::string schema;
};

struct AvailableExtension {
    std::string name;
    std::string version;    // the one that CREATE EXTENSION takes
    bool creatable = false; // by the role that looked
    bool fixed_schema = false; // it goes where its control file says
};

struct SchemaAccess {
    std::string name;
    std::string owner;
    bool may_create = false; // the role that looked
    bool may_use = false;
};

struct Collation {
    sql::QName name;
    char provider = 'c'; // c libc, i icu, b builtin, d the database's
    bool deterministic = true;
    std::optional<std::string> collate;
    std::optional<std::string> ctype;
    std::optional<std::string> locale;
    std::optional<std::string> rules;
    std::optional<std::string> version; // what the server's library says now
    std::optional<std::string> comment;
};

struct Enum {
    sql::QName name;
    std::vector<std::string> labels; // in their order
    std::optional<std::string> comment;
};

struct DomainCheck {
    std::string name;
    std::string definition;
    auto operator<=>(DomainCheck const&) const = default;
};

struct Domain {
    sql::QName name;
    std::string base;
    std::optional<std::string> collation; // when not the base type's
    std::optional<std::string> default_expr;
    bool not_null = false;
    std::vector<DomainCheck> checks; // by name
    std::optional<std::string> comment;
};

struct Attribute {
    std::string name;
    std::string type;
    std::optional<std::string> collation;
    auto operator<=>(Attribute const&) const = default;
};

struct Composite {
    sql::QName name;
    std::vector<Attribute> attributes;
    std::optional<std::string> comment;
};

struct Range {
    sql::QName name;
    std::string subtype;
    std::optional<std::string> opclass;   // when not the subtype's default
    std::optional<std::string> collation; // when not the subtype's
    std::optional<std::string> canonical; // a function: only a superuser can make such a type
    std::optional<std::string> difference;
    std::optional<sql::QName> multirange; // from version 14
    std::optional<std::string> comment;
};

struct Mention {
    sql::QName table;
    bool qualified = false; // the text says its schema
    bool certain = false;   // the server knows; false: found by reading the text
};

struct Function {
    sql::QName name;
    std::string signature; // schema.name(types)
    char kind = 'f';       // f function, p procedure, w window
    std::string language;
    std::string definition; // pg_get_functiondef
    bool is_trigger = false;
    bool string_body = true;
    std::string owner;
    std::vector<Grant> grants;
    std::vector<Mention> mentions; // tables
    std::optional<std::string> search_path; // its own, as SET says it
    bool by_text = false; // no table is known to need it: another function's text names it
    std::optional<std::string> comment;
};

struct Dictionary { // CREATE TEXT SEARCH DICTIONARY
    sql::QName name;
    std::string template_name;
    std::optional<std::string> options;
    std::optional<std::string> comment;
};

struct TextSearch { // CREATE TEXT SEARCH CONFIGURATION
    sql::QName name;
    std::string parser;
    std::vector<std::pair<std::string, std::vector<std::string>>> mappings; // token type, dictionaries as SQL names
    std::optional<std::string> comment;
};

// A thing that pgcarve does not make in another database, and which is needed.
struct Unmakeable {
    std::string what; // operator app.===(integer,integer)
    std::string by;   // trigger t on table …
    std::optional<sql::QName> relation; // when it is a table or view
    std::string id; // of the object that needs it, when it is one of the Foundation: "function:…"
};

struct Foundation {
    int server_version = 0;
    std::string encoding;
    std::string locale; // provider, collation and character type of the database, in words
    bool may_create_schemas = false; // the role that looked
    std::vector<SchemaAccess> schemas;       // all of the database
    std::vector<Extension> extensions;       // source: the needed ones; target: all
    std::vector<AvailableExtension> available;
    std::vector<std::string> needed_schemas; // which hold something of the below
    std::vector<Collation> collations;       // these and the following: sorted by name
    std::vector<Enum> enums;
    std::vector<Domain> domains;
    std::vector<Composite> composites;
    std::vector<Range> ranges;
    std::vector<Function> functions; // by signature
    std::vector<Sequence> sequences; // that defaults draw from and none of the tables owns
    std::vector<Dictionary> dictionaries;
    std::vector<TextSearch> configurations;
    std::vector<Unmakeable> unmakeable;
    // id of an object ("type:public.state", "function:…") → ids of those which must be there before it.
    std::map<std::string, std::set<std::string>> needs;
};

} // namespace pgcarve::model
