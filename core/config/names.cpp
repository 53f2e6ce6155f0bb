#include "config/names.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace pgcarve::config {

namespace {

constexpr std::size_t max_name_bytes = 63; // PostgreSQL cuts longer names, so they name nothing

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && is_blank(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back()))
        text.remove_suffix(1);
    return text;
}

struct Part {
    std::string name;
    bool quoted = false;
};

bool has_wildcard(Part const& part) {
    return !part.quoted && part.name.find_first_of("*?") != std::string::npos;
}

// Reads parts one after the other. The first thing that is wrong is kept, and later reads do nothing.
class Reader {
public:
    explicit Reader(std::string_view text)
        : text_{text} {}

    [[nodiscard]] bool at_end() const { return at_ == text_.size(); }
    [[nodiscard]] bool looking_at(std::string_view word) const { return text_.substr(at_).starts_with(word); }
    bool take(std::string_view word) {
        if (!looking_at(word))
            return false;
        at_ += word.size();
        return true;
    }
    void skip_blanks() {
        while (!at_end() && is_blank(text_[at_]))
            ++at_;
    }
    void fail(std::string message) {
        if (!problem_)
            problem_ = std::move(message);
    }
    [[nodiscard]] std::optional<std::string> const& problem() const { return problem_; }

    // One part; a bare one ends before any of `ends`.
    Part part(std::string_view ends) {
        Part part;
        if (take("\"")) {
            part.quoted = true;
            read_quoted(part.name);
            if (!problem_ && !at_end() && ends.find(text_[at_]) == std::string_view::npos)
                fail("text follows a closing quote: quote the whole part");
        } else {
            auto const end = std::min(text_.find_first_of(ends, at_), text_.size());
            part.name = text_.substr(at_, end - at_);
            at_ = end;
            if (part.name.find('"') != std::string::npos)
                fail("a quote stands inside a part: quote the whole part and double the quotes in it");
            else if (trim(part.name) != part.name)
                fail("blanks stand at the edge of a part: quote the part if the name really has them");
        }
        check(part);
        return part;
    }

    // Parts joined by dots.
    std::vector<Part> dotted(std::string_view ends) {
        auto const part_ends = std::string{ends} + ".";
        std::vector<Part> parts;
        do {
            parts.push_back(part(part_ends));
        } while (!problem_ && take("."));
        return parts;
    }

private:
    void read_quoted(std::string& name) {
        while (!at_end()) {
            char const c = text_[at_++];
            if (c != '"') {
                name += c;
            } else if (!take("\"")) {
                return;
            } else {
                name += '"';
            }
        }
        fail("a double quote is not closed");
    }

    void check(Part const& part) {
        if (part.name.empty())
            fail("a part of the name is empty");
        else if (part.name.find('\0') != std::string::npos)
            fail("a name cannot hold a zero byte");
        else if (!has_wildcard(part) && part.name.size() > max_name_bytes)
            fail(fmt::format("a name has {} bytes, PostgreSQL's have at most {}", part.name.size(),
                             max_name_bytes));
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::optional<std::string> problem_;
};

// [schema.]name without wildcards, from the first parts of a dotted name.
sql::QName table_name(std::vector<Part> const& parts, std::size_t count, std::string const& shared_schema) {
    if (count == 1)
        return {shared_schema, parts[0].name};
    return {parts[0].name, parts[1].name};
}

void refuse_wildcards(Reader& reader, std::vector<Part> const& parts) {
    if (std::ranges::any_of(parts, has_wildcard))
        reader.fail("* and ? are not patterns here: name one foreign key, or quote the name");
}

void read_arrow_form(Reader& reader, model::ForeignKeyDecision& key, std::string const& shared_schema) {
    auto child = reader.dotted(" \t,-");
    refuse_wildcards(reader, child);
    if (child.size() < 2 || child.size() > 3)
        return reader.fail("left of -> stands table.column or schema.table.column");
    key.child = table_name(child, child.size() - 1, shared_schema);
    key.columns.push_back(child.back().name);
    for (reader.skip_blanks(); reader.take(","); reader.skip_blanks()) {
        reader.skip_blanks();
        auto const column = reader.part(" \t,-");
        refuse_wildcards(reader, {column});
        key.columns.push_back(column.name);
    }
    if (!reader.take("->"))
        return reader.fail("expected -> after the columns");
    reader.skip_blanks();
    auto const parent = reader.dotted(" \t");
    refuse_wildcards(reader, parent);
    if (parent.size() > 2)
        return reader.fail("right of -> stands table or schema.table, without columns");
    key.parent = table_name(parent, parent.size(), shared_schema);
}

void read_constraint_form(Reader& reader, model::ForeignKeyDecision& key, std::string const& shared_schema) {
    auto const child = reader.dotted(" \t");
    refuse_wildcards(reader, child);
    reader.skip_blanks();
    if (child.size() > 2 || reader.at_end())
        return reader.fail("write `child.column -> parent` or `child constraint_name`");
    key.child = table_name(child, child.size(), shared_schema);
    auto const constraint = reader.part(" \t");
    refuse_wildcards(reader, {constraint});
    key.constraint = constraint.name;
}

// -> outside quotes.
bool has_arrow(std::string_view text) {
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && text.substr(i).starts_with("->"))
            return true;
    }
    return false;
}

constexpr std::array secret_keywords{
    std::string_view{"password"},
    std::string_view{"sslpassword"},
    std::string_view{"oauth_client_secret"},
    std::string_view{"scram_client_key"},
    std::string_view{"scram_server_key"},
};

bool is_secret(std::string_view keyword) {
    return std::ranges::find(secret_keywords, keyword) != secret_keywords.end();
}

bool uri_holds_secret(std::string_view rest) {
    auto const authority = rest.substr(0, rest.find_first_of("/?"));
    auto const at = authority.rfind('@');
    if (at != std::string_view::npos) {
        auto const user = authority.substr(0, at);
        auto const colon = user.find(':');
        if (colon != std::string_view::npos && colon + 1 < user.size())
            return true;
    }
    auto const question = rest.find('?');
    if (question == std::string_view::npos)
        return false;
    auto query = rest.substr(question + 1);
    while (!query.empty()) {
        auto const parameter = query.substr(0, query.find('&'));
        if (is_secret(parameter.substr(0, parameter.find('='))))
            return true;
        query.remove_prefix(std::min(parameter.size() + 1, query.size()));
    }
    return false;
}

// Skips one value of a key=value string: bare, or in single quotes, with backslash escapes in both.
std::size_t value_end(std::string_view dsn, std::size_t at) {
    bool const quoted = at < dsn.size() && dsn[at] == '\'';
    if (quoted)
        ++at;
    while (at < dsn.size()) {
        if (dsn[at] == '\\')
            ++at;
        else if (quoted ? dsn[at] == '\'' : is_blank(dsn[at]))
            return quoted ? at + 1 : at;
        ++at;
    }
    return dsn.size();
}

} // namespace

std::variant<model::TablePattern, BadName> parse_pattern(std::string_view text,
                                                         std::string const& shared_schema) {
    model::TablePattern pattern;
    pattern.exclude = text.starts_with('!');
    if (pattern.exclude)
        text.remove_prefix(1);
    pattern.text = text;
    if (text.empty())
        return BadName{"the pattern is empty"};

    Reader reader{text};
    auto const parts = reader.dotted("");
    if (parts.size() > 2)
        reader.fail("at most schema.table: quote a name that itself holds a dot");
    if (reader.problem())
        return BadName{*reader.problem()};

    pattern.schema = parts.size() == 2 ? parts[0].name : shared_schema;
    pattern.schema_literal = parts.size() == 1 || !has_wildcard(parts[0]);
    pattern.name = parts.back().name;
    pattern.name_literal = !has_wildcard(parts.back());
    return pattern;
}

std::variant<model::ForeignKeyDecision, BadName> parse_foreign_key(std::string_view text,
                                                                   std::string const& shared_schema) {
    model::ForeignKeyDecision key;
    key.text = text;
    Reader reader{trim(text)};
    if (has_arrow(text))
        read_arrow_form(reader, key, shared_schema);
    else
        read_constraint_form(reader, key, shared_schema);
    reader.skip_blanks();
    if (!reader.at_end())
        reader.fail("text is left over after the foreign key");
    if (reader.problem())
        return BadName{*reader.problem()};
    return key;
}

std::string toml_key(std::string_view text) {
    if (text.find_first_of("\"\\") == std::string_view::npos)
        return fmt::format("\"{}\"", text);
    if (text.find('\'') == std::string_view::npos)
        return fmt::format("'{}'", text);
    std::string escaped = "\"";
    for (char const c : text) {
        if (c == '"' || c == '\\')
            escaped += '\\';
        escaped += c;
    }
    return escaped + '"';
}

bool holds_secret(std::string_view dsn) {
    for (std::string_view const scheme : {"postgresql://", "postgres://"}) {
        if (dsn.starts_with(scheme))
            return uri_holds_secret(dsn.substr(scheme.size()));
    }
    std::size_t at = 0;
    while (at < dsn.size()) {
        auto const equals = dsn.find('=', at);
        if (equals == std::string_view::npos)
            return false;
        auto const keyword = trim(dsn.substr(at, equals - at));
        at = equals + 1;
        while (at < dsn.size() && is_blank(dsn[at]))
            ++at;
        auto const end = value_end(dsn, at);
        if (is_secret(keyword) && end > at)
            return true;
        at = end;
    }
    return false;
}

} // namespace pgcarve::config
