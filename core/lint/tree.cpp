#include "lint/tree.hpp"

#include <algorithm>
#include <memory>

#include <pg_query.h>

namespace pgcarve::lint {

namespace {

// The parser counts characters from one.
std::size_t byte_of(std::string const& text, int cursor) {
    std::size_t at = 0;
    for (int i = 1; i < cursor && at < text.size(); ++i) {
        ++at;
        while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U)
            ++at;
    }
    return at;
}

ParseError error_of(PgQueryError const& error, std::string const& text) {
    return {error.message != nullptr ? error.message : "syntax error", byte_of(text, error.cursorpos)};
}

Tree tree_of(char const* json, PgQueryError const* error, std::string const& text) {
    if (error != nullptr)
        return {{}, error_of(*error, text)};
    auto root = Node::parse(json != nullptr ? json : "", nullptr, false);
    if (root.is_discarded())
        return {{}, ParseError{"the parser's answer cannot be read", 0}};
    return {std::move(root), std::nullopt};
}

struct FreeSql {
    void operator()(PgQueryParseResult* r) const { pg_query_free_parse_result(*r); }
};
struct FreePlpgsql {
    void operator()(PgQueryPlpgsqlParseResult* r) const { pg_query_free_plpgsql_parse_result(*r); }
};

} // namespace

Tree parse_sql(std::string const& sql) {
    auto result = pg_query_parse(sql.c_str());
    std::unique_ptr<PgQueryParseResult, FreeSql> const owner{&result};
    return tree_of(result.parse_tree, result.error, sql);
}

Tree parse_plpgsql(std::string const& sql) {
    auto result = pg_query_parse_plpgsql(sql.c_str());
    std::unique_ptr<PgQueryPlpgsqlParseResult, FreePlpgsql> const owner{&result};
    return tree_of(result.plpgsql_funcs, result.error, sql);
}

Span Place::at(std::size_t location) const {
    if (!exact)
        return {base, end};
    auto const begin = std::min(base + location, end);
    Lexer lexer{file.substr(0, end), begin};
    Token token;
    if (!lexer.next(token))
        return {begin, end};
    return {token.begin, token.end};
}

Span Place::span(Node const& node) const {
    auto const location = number_of(node, "location");
    return at(location > 0 ? static_cast<std::size_t>(location) : 0);
}

Node const& child(Node const& node, char const* key) {
    static Node const none = Node::object();
    if (!node.is_object())
        return none;
    auto const at = node.find(key);
    return at == node.end() ? none : *at;
}

std::string string_of(Node const& node, char const* key) {
    auto const& value = child(node, key);
    return value.is_string() ? value.get<std::string>() : std::string{};
}

bool flag_of(Node const& node, char const* key) {
    auto const& value = child(node, key);
    return value.is_boolean() && value.get<bool>();
}

long number_of(Node const& node, char const* key) {
    auto const& value = child(node, key);
    return value.is_number_integer() ? value.get<long>() : 0;
}

std::vector<std::string> strings(Node const& list) {
    if (list.is_object() && list.contains("List"))
        return strings(child(list["List"], "items"));
    std::vector<std::string> out;
    if (!list.is_array())
        return out;
    for (auto const& item : list) {
        if (item.contains("String"))
            out.push_back(string_of(item["String"], "sval"));
    }
    return out;
}

sql::QName qname(std::vector<std::string> const& parts) {
    if (parts.empty())
        return {};
    if (parts.size() == 1)
        return {"", parts[0]};
    return {parts[parts.size() - 2], parts.back()};
}

sql::QName range_name(Node const& node) {
    auto const& range_var = node.is_object() && node.contains("RangeVar") ? node["RangeVar"] : node;
    return {string_of(range_var, "schemaname"), string_of(range_var, "relname")};
}

std::string Type::text() const {
    auto out = name.schema.empty() || name.schema == "pg_catalog" ? name.name : name.schema + "." + name.name;
    if (!modifiers.empty()) {
        out += '(';
        for (std::size_t i = 0; i < modifiers.size(); ++i)
            out += (i == 0 ? "" : ",") + std::to_string(modifiers[i]);
        out += ')';
    }
    return array ? out + "[]" : out;
}

Type type_of(Node const& node) {
    Type type;
    type.name = qname(strings(child(node, "names")));
    if (type.name.schema == "pg_catalog")
        type.name.schema.clear();
    type.array = !child(node, "arrayBounds").empty();
    for (auto const& modifier : child(node, "typmods")) {
        auto const& constant = child(modifier, "A_Const");
        type.modifiers.push_back(constant.contains("ival") ? number_of(constant["ival"], "ival") : -1);
    }
    return type;
}

Object object_of(std::string const& object_type) {
    static constexpr std::pair<std::string_view, Object> known[] = {
        {"OBJECT_TABLE", Object::table},
        {"OBJECT_FOREIGN_TABLE", Object::table},
        {"OBJECT_INDEX", Object::index},
        {"OBJECT_VIEW", Object::view},
        {"OBJECT_MATVIEW", Object::materialized_view},
        {"OBJECT_SEQUENCE", Object::sequence},
        {"OBJECT_SCHEMA", Object::schema},
        {"OBJECT_DATABASE", Object::database},
        {"OBJECT_TYPE", Object::type},
        {"OBJECT_DOMAIN", Object::domain},
        {"OBJECT_FUNCTION", Object::function},
        {"OBJECT_PROCEDURE", Object::function},
        {"OBJECT_ROUTINE", Object::function},
        {"OBJECT_AGGREGATE", Object::function},
        {"OBJECT_TRIGGER", Object::trigger},
        {"OBJECT_POLICY", Object::policy},
        {"OBJECT_RULE", Object::rule},
        {"OBJECT_EXTENSION", Object::extension},
        {"OBJECT_PUBLICATION", Object::publication},
        {"OBJECT_COLUMN", Object::column},
        {"OBJECT_TABCONSTRAINT", Object::constraint},
        {"OBJECT_ROLE", Object::role},
    };
    for (auto const& [name, object] : known) {
        if (name == object_type)
            return object;
    }
    return Object::other;
}

char const* text(Object object) {
    switch (object) {
    case Object::table:
        return "table";
    case Object::index:
        return "index";
    case Object::view:
        return "view";
    case Object::materialized_view:
        return "materialized view";
    case Object::sequence:
        return "sequence";
    case Object::schema:
        return "schema";
    case Object::database:
        return "database";
    case Object::type:
        return "type";
    case Object::domain:
        return "domain";
    case Object::function:
        return "function";
    case Object::trigger:
        return "trigger";
    case Object::policy:
        return "policy";
    case Object::rule:
        return "rule";
    case Object::extension:
        return "extension";
    case Object::publication:
        return "publication";
    case Object::column:
        return "column";
    case Object::constraint:
        return "constraint";
    case Object::role:
        return "role";
    case Object::other:
        return "object";
    }
    return "object";
}

namespace {

// Names of a statement's CTEs: what is called so without a schema is no table.
void collect_ctes(Node const& node, std::vector<std::string>& names) {
    if (node.is_array()) {
        for (auto const& item : node)
            collect_ctes(item, names);
    } else if (node.is_object()) {
        if (node.contains("ctename"))
            names.push_back(string_of(node, "ctename"));
        for (auto const& item : node)
            collect_ctes(item, names);
    }
}

std::string constant_text(Node const& node) {
    if (node.contains("TypeCast"))
        return constant_text(child(node["TypeCast"], "arg"));
    if (node.contains("A_Const"))
        return string_of(child(node["A_Const"], "sval"), "sval");
    return {};
}

// A name in a string literal, as regclass reads it.
sql::QName name_in_text(std::string const& written) {
    std::vector<std::string> parts;
    Lexer lexer{written};
    Token token;
    while (lexer.next(token)) {
        if (token.kind == Token::Kind::word) {
            parts.push_back(lower_word(written, token));
        } else if (token.kind == Token::Kind::quoted && token.end - token.begin >= 2) {
            std::string name;
            for (auto i = token.begin + 1; i + 1 < token.end; ++i) {
                name += written[i];
                i += written[i] == '"' ? 1U : 0U;
            }
            parts.push_back(name);
        } else if (written.substr(token.begin, token.end - token.begin) != ".") {
            return {};
        }
    }
    return qname(parts);
}

class RefCollector {
public:
    RefCollector(Place const& place, std::vector<Ref>& refs, Node const& root)
        : place_{place}
        , refs_{refs} {
        collect_ctes(root, ctes_);
    }

    void walk(Node const& node) {
        if (node.is_array()) {
            for (auto const& item : node)
                walk(item);
            return;
        }
        if (!node.is_object())
            return;
        if (node.contains("relname"))
            return relation(node);
        if (node.contains("names") && node.contains("typemod"))
            type(node);
        else if (node.contains("funcname"))
            function(node);
        else if (node.contains("typeName") && node.contains("arg"))
            cast(node);
        for (auto const& [key, value] : node.items()) {
            if (key == "InsertStmt" || key == "UpdateStmt" || key == "DeleteStmt" || key == "MergeStmt")
                written_ = &child(value, "relation");
            walk(value);
        }
    }

private:
    void relation(Node const& node) {
        auto name = range_name(node);
        if (name.schema.empty() && std::ranges::find(ctes_, name.name) != ctes_.end())
            return;
        refs_.push_back({std::move(name), &node == written_ ? Use::write : Use::read, place_.span(node)});
    }
    void type(Node const& node) {
        auto parts = strings(child(node, "names"));
        if (flag_of(node, "pct_type") && parts.size() > 1) {
            parts.pop_back();
            refs_.push_back({qname(parts), Use::read, place_.span(node)});
        } else if (!parts.empty() && parts[0] != "pg_catalog") {
            refs_.push_back({qname(parts), Use::type, place_.span(node)});
        }
    }
    void function(Node const& node) {
        auto const name = qname(strings(child(node, "funcname")));
        refs_.push_back({name, Use::function, place_.span(node)});
        auto const& arguments = child(node, "args");
        if ((name.name == "nextval" || name.name == "currval" || name.name == "setval") &&
            arguments.is_array() && !arguments.empty()) {
            auto const sequence = name_in_text(constant_text(arguments[0]));
            if (!sequence.name.empty())
                refs_.push_back({sequence, Use::sequence, place_.span(node)});
        }
    }
    void cast(Node const& node) {
        auto const type = type_of(child(node, "typeName"));
        if (type.name.name != "regclass")
            return;
        auto const named = name_in_text(constant_text(child(node, "arg")));
        if (!named.name.empty())
            refs_.push_back({named, Use::sequence, place_.span(node)});
    }

    Place const& place_;
    std::vector<Ref>& refs_;
    std::vector<std::string> ctes_;
    Node const* written_ = nullptr;
};

} // namespace

void collect_refs(Node const& node, Place const& place, std::vector<Ref>& refs) {
    RefCollector{place, refs, node}.walk(node);
}

namespace {

bool is_one_of(std::string const& name, std::initializer_list<std::string_view> names) {
    return std::ranges::find(names, std::string_view{name}) != names.end();
}

Volatility function_volatility(std::string const& name) {
    if (is_one_of(name, {"random",
                         "random_normal",
                         "clock_timestamp",
                         "timeofday",
                         "nextval",
                         "currval",
                         "lastval",
                         "setval",
                         "gen_random_uuid",
                         "uuidv4",
                         "uuidv7",
                         "uuid_generate_v1",
                         "uuid_generate_v1mc",
                         "uuid_generate_v4",
                         "gen_random_bytes",
                         "gen_salt",
                         "pg_sleep",
                         "txid_current_if_assigned",
                         "setseed",
                         "pg_backend_pid",
                         "ulid_generate",
                         "gen_ulid",
                         "nanoid"}))
        return Volatility::is_volatile;
    if (is_one_of(name, {"now",
                         "transaction_timestamp",
                         "statement_timestamp",
                         "timezone",
                         "date_trunc",
                         "date_part",
                         "extract",
                         "to_timestamp",
                         "to_date",
                         "to_char",
                         "to_number",
                         "make_interval",
                         "make_date",
                         "make_timestamp",
                         "make_timestamptz",
                         "age",
                         "lower",
                         "upper",
                         "concat",
                         "concat_ws",
                         "coalesce",
                         "md5",
                         "sha256",
                         "encode",
                         "decode",
                         "length",
                         "substr",
                         "substring",
                         "left",
                         "right",
                         "replace",
                         "trim",
                         "btrim",
                         "ltrim",
                         "rtrim",
                         "repeat",
                         "format",
                         "abs",
                         "round",
                         "ceil",
                         "floor",
                         "power",
                         "sqrt",
                         "greatest",
                         "least",
                         "jsonb_build_object",
                         "json_build_object",
                         "jsonb_build_array",
                         "json_build_array",
                         "to_json",
                         "to_jsonb",
                         "array_fill",
                         "string_to_array",
                         "array_append",
                         "int4range",
                         "int8range",
                         "numrange",
                         "tsrange",
                         "tstzrange",
                         "daterange",
                         "to_tsvector",
                         "current_setting",
                         "current_database",
                         "current_schema",
                         "inet_client_addr",
                         "pg_typeof",
                         "txid_current",
                         "hashtext",
                         "position",
                         "point",
                         "box",
                         "uuid_nil",
                         "xmlparse",
                         "row_to_json",
                         "nullif"}))
        return Volatility::constant;
    return Volatility::unknown;
}

void judge(Node const& node, Volatility& worst, std::string& function) {
    if (node.is_array()) {
        for (auto const& item : node)
            judge(item, worst, function);
    } else if (node.is_object()) {
        if (node.contains("funcname")) {
            auto const name = qname(strings(node["funcname"]));
            auto const found = function_volatility(name.name);
            if (found > worst) {
                worst = found;
                function = name.schema.empty() || name.schema == "pg_catalog" ? name.name
                                                                              : name.schema + "." + name.name;
            }
        }
        for (auto const& item : node)
            judge(item, worst, function);
    }
}

} // namespace

Volatility volatility(Node const& expression, std::string& function) {
    auto worst = Volatility::constant;
    judge(expression, worst, function);
    return worst;
}

NotNullColumns proven_not_null(Node const& expression) {
    NotNullColumns columns;
    if (expression.contains("NullTest")) {
        auto const& test = expression["NullTest"];
        auto const& fields = child(child(child(test, "arg"), "ColumnRef"), "fields");
        if (string_of(test, "nulltesttype") == "IS_NOT_NULL" && !fields.empty()) {
            auto const names = strings(fields);
            if (!names.empty())
                columns.push_back(names.back());
        }
    } else if (expression.contains("BoolExpr") && string_of(expression["BoolExpr"], "boolop") == "AND_EXPR") {
        for (auto const& part : child(expression["BoolExpr"], "args")) {
            auto const proven = proven_not_null(part);
            columns.insert(columns.end(), proven.begin(), proven.end());
        }
    }
    return columns;
}

} // namespace pgcarve::lint
