// What stands inside DO blocks and routines.
#include <algorithm>

#include "lint/tree.hpp"

namespace pgcarve::lint {

namespace {

constexpr int deepest_body = 3; // a DO in a constant EXECUTE in a DO …

// The text of a string token without its quotes, when it stands there as it is (dollar quotes, no escapes).
struct Quoted {
    std::string text;
    std::size_t begin = 0; // of the text, in the file
    bool exact = false;
};

Quoted find_body(std::string const& body, Place const& place) {
    Quoted found{body, place.base, false};
    if (!place.exact)
        return found;
    Lexer lexer{place.file.substr(0, place.end), place.base};
    Token token;
    while (lexer.next(token)) {
        if (token.kind != Token::Kind::text)
            continue;
        auto const written = place.file.substr(token.begin, token.end - token.begin);
        auto const at = written.find(body);
        bool const dollar = written.starts_with('$');
        if (at != std::string_view::npos && !body.empty() && (dollar || at == 1))
            return {body, token.begin + (dollar ? written.find('$', 1) + 1 : at), true};
    }
    return found;
}

class BodyReader {
public:
    BodyReader(Quoted body, Place const& place, int depth)
        : body_{std::move(body)}
        , place_{place}
        , depth_{depth} {}

    std::vector<Ref> refs;
    std::vector<Action> actions;
    std::vector<Gap> gaps;

    // Statements one after the other: LANGUAGE sql.
    void read_sql() {
        for (auto const& piece : split(body_.text).pieces) {
            Place const place = at(piece.span);
            if (!piece.obstacle.empty())
                gaps.push_back({{place.base, place.end}, piece.obstacle});
            else
                statement(body_.text.substr(piece.span.begin, piece.span.end - piece.span.begin), place);
        }
    }

    void read_plpgsql(std::string const& whole) {
        // The routine's parser recurses like the other one.
        for (auto const& piece : split(body_.text).pieces) {
            if (piece.obstacle.starts_with("it is nested")) {
                gaps.push_back({{place_.base, place_.end}, piece.obstacle});
                return;
            }
        }
        auto const tree = parse_plpgsql(whole);
        if (tree.error) {
            gaps.push_back({{place_.base, place_.end}, "PL/pgSQL: " + tree.error->message});
            return;
        }
        walk(tree.root, "", 1);
    }

private:
    [[nodiscard]] Place at(Span span) const {
        if (!body_.exact)
            return {place_.file, place_.base, place_.end, false};
        return {place_.file, body_.begin + span.begin, body_.begin + span.end, true};
    }

    // Where a query of the body stands: from its line on.
    [[nodiscard]] Place find(std::string const& query, long line) const {
        std::size_t from = 0;
        for (long i = 1; i < line && from != std::string::npos; ++i) {
            from = body_.text.find('\n', from);
            from += from == std::string::npos ? 0 : 1;
        }
        if (from == std::string::npos)
            from = 0;
        auto const found = body_.text.find(query, from);
        if (found != std::string::npos)
            return at({found, found + query.size()});
        auto const end = std::min(body_.text.find('\n', from), body_.text.size());
        auto place = at({from, end});
        place.exact = false;
        return place;
    }

    void statement(std::string const& sql, Place const& place) {
        auto const tree = parse_sql(sql);
        if (tree.error) {
            gaps.push_back({place.at(tree.error->offset), tree.error->message});
            return;
        }
        for (auto const& entry : child(tree.root, "stmts")) {
            auto const& wrapped = child(entry, "stmt");
            if (wrapped.contains("DoStmt") && depth_ < deepest_body) {
                gaps.push_back({{place.base, place.end}, "a DO block inside a body"});
                continue;
            }
            collect_refs(wrapped, place, refs);
            read_node(wrapped, place, actions);
        }
    }

    void expression(std::string const& query, long line, bool assignment) {
        auto const place = find(query, line);
        auto sql = query;
        std::size_t shift = 0;
        if (assignment)
            shift = behind_assignment(query);
        Lexer lexer{query, shift};
        Token first;
        if (!lexer.next(first))
            return;
        auto const word = lower_word(query, first);
        bool const whole =
            shift == 0 && (word == "select" || word == "with" || word == "insert" || word == "update" ||
                           word == "delete" || word == "values" || word == "table");
        sql = whole ? query : "SELECT " + query.substr(shift);
        auto const tree = parse_sql(sql);
        if (tree.error) {
            gaps.push_back({{place.base, place.end}, tree.error->message});
            return;
        }
        auto loose = place;
        loose.exact = place.exact && whole; // the prefix moves every location
        for (auto const& entry : child(tree.root, "stmts")) {
            auto const& wrapped = child(entry, "stmt");
            collect_refs(wrapped, loose, refs);
            if (whole && word != "select" && word != "with" && word != "values" && word != "table")
                read_node(wrapped, loose, actions);
        }
    }

    static std::size_t behind_assignment(std::string const& query) {
        Lexer lexer{query};
        Token token;
        int depth = 0;
        while (lexer.next(token)) {
            depth += token.kind == Token::Kind::open ? 1 : token.kind == Token::Kind::close ? -1 : 0;
            if (depth != 0)
                continue;
            auto const written = query.substr(token.begin, token.end - token.begin);
            if (written == "=" || written == ":=")
                return token.end;
            if (written == ":" && token.end < query.size() && query[token.end] == '=')
                return token.end + 1;
        }
        return 0;
    }

    void dynamic(std::string const& query, long line) {
        auto const place = find(query, line);
        auto const tree = parse_sql("SELECT " + query);
        if (!tree.error && !child(tree.root, "stmts").empty()) {
            auto const& targets =
                child(child(child(tree.root["stmts"][0], "stmt"), "SelectStmt"), "targetList");
            auto const& value =
                targets.size() == 1 ? child(child(targets[0], "ResTarget"), "val") : child(targets, "");
            auto const& constant = child(child(value, "A_Const"), "sval");
            if (constant.contains("sval")) { // known after all
                auto loose = place;
                loose.exact = false;
                auto const text = string_of(constant, "sval");
                auto const source = split(text);
                for (auto const& piece : source.pieces) {
                    if (piece.obstacle.empty())
                        statement(text.substr(piece.span.begin, piece.span.end - piece.span.begin), loose);
                    else
                        gaps.push_back({{place.base, place.end}, piece.obstacle});
                }
                return;
            }
            collect_refs(tree.root, Place{place.file, place.base, place.end, false}, refs);
        }
        Action action;
        action.verb = Verb::execute_text;
        action.object = Object::other;
        action.span = {place.base, place.end};
        action.name = query;
        actions.push_back(std::move(action));
    }

    void datum_type(Node const& node, long line) {
        auto const name = string_of(node, "typname");
        auto const dot = name.find('%');
        if (dot == std::string::npos)
            return;
        std::vector<std::string> parts;
        Lexer lexer{name};
        Token token;
        while (lexer.next(token) && token.begin < dot) {
            if (token.kind == Token::Kind::word)
                parts.push_back(lower_word(name, token));
            else if (token.kind == Token::Kind::quoted && token.end > token.begin + 2)
                parts.push_back(name.substr(token.begin + 1, token.end - token.begin - 2));
        }
        auto suffix = name.substr(dot + 1);
        std::ranges::transform(suffix, suffix.begin(),
                               [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
        if (suffix == "type" && !parts.empty())
            parts.pop_back();
        if (parts.empty())
            return;
        auto const place = find(name, line);
        refs.push_back({qname(parts), Use::read, {place.base, place.end}});
    }

    void walk(Node const& node, std::string const& inside, long line) {
        if (node.is_array()) {
            for (auto const& item : node)
                walk(item, inside, line);
            return;
        }
        if (!node.is_object())
            return;
        if (node.contains("lineno"))
            line = number_of(node, "lineno");
        for (auto const& [key, value] : node.items()) {
            if (key == "PLpgSQL_type")
                datum_type(value, line);
            else if (key == "PLpgSQL_expr")
                query(string_of(value, "query"), inside, line);
            else
                walk(value,
                     key.starts_with("PLpgSQL_") || key == "query" || key == "dynquery" || key == "sqlstmt"
                         ? (key.starts_with("PLpgSQL_") ? key : inside + "." + key)
                         : inside,
                     line);
        }
    }

    void query(std::string const& text, std::string const& inside, long line) {
        bool const is_dynamic = inside == "PLpgSQL_stmt_dynexecute.query" ||
                                inside == "PLpgSQL_stmt_dynfors.query" || inside.ends_with(".dynquery");
        if (is_dynamic)
            dynamic(text, line);
        else if (inside.ends_with(".sqlstmt"))
            statement_at(text, line);
        else
            expression(text, line, inside == "PLpgSQL_stmt_assign");
    }

    void statement_at(std::string const& text, long line) { statement(text, find(text, line)); }

    Quoted body_;
    Place const& place_;
    int depth_;
};

std::string option_text(Node const& options, std::string_view name, bool& many) {
    for (auto const& option : options) {
        auto const& element = child(option, "DefElem");
        if (string_of(element, "defname") != name)
            continue;
        auto const& value = child(element, "arg");
        if (value.contains("String"))
            return string_of(value["String"], "sval");
        auto const parts = strings(value);
        many = parts.size() > 1; // an object file and a symbol
        return parts.empty() ? "" : parts[0];
    }
    return {};
}

std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return text;
}

} // namespace

void read_do(Node const& node, Place const& place, Statement& statement) {
    bool many = false;
    auto const& options = child(node, "args");
    auto language = lower(option_text(options, "language", many));
    if (language.empty())
        language = "plpgsql";
    auto const body = option_text(options, "as", many);
    if (language != "plpgsql") {
        statement.gaps.push_back({statement.span, "the body is in language " + language});
        return;
    }
    BodyReader reader{find_body(body, place), place, 0};
    reader.read_plpgsql(std::string{place.file.substr(place.base, place.end - place.base)});
    for (auto& action : reader.actions) {
        action.in_body = true;
        statement.actions.push_back(std::move(action));
    }
    statement.refs.insert(statement.refs.end(), reader.refs.begin(), reader.refs.end());
    statement.gaps.insert(statement.gaps.end(), reader.gaps.begin(), reader.gaps.end());
}

void read_routine(Node const& node, Place const& place, Statement& statement) {
    bool many = false;
    auto const& options = child(node, "options");
    auto const language = lower(option_text(options, "language", many));
    Action action;
    action.verb = Verb::create;
    action.object = Object::function;
    action.on = qname(strings(child(node, "funcname")));
    action.replace = flag_of(node, "replace");
    action.span = statement.span;
    action.words = {language, lower(option_text(options, "volatility", many))};
    many = false;
    auto const body = option_text(options, "as", many);
    BodyReader reader{find_body(body, place), place, 0};
    if (node.contains("sql_body")) {
        // In the main tree already: its references are the statement's.
        collect_refs(node["sql_body"], place, reader.refs);
    } else if (language == "sql") {
        reader.read_sql();
    } else if (language == "plpgsql") {
        reader.read_plpgsql(std::string{place.file.substr(place.base, place.end - place.base)});
    } else if (language != "c" && language != "internal") {
        reader.gaps.push_back(
            {statement.span, "the body is in language " + (language.empty() ? "?" : language)});
    }
    action.body.push_back({reader.refs, reader.actions});
    statement.actions.push_back(std::move(action));
    statement.gaps.insert(statement.gaps.end(), reader.gaps.begin(), reader.gaps.end());
}

} // namespace pgcarve::lint
