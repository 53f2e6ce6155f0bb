#include "ddl/names.hpp"

#include <vector>

namespace pgcarve::ddl {

using sql::QName;

namespace {

bool name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (static_cast<unsigned char>(c) & 0x80U) != 0;
}
bool name_part(char c) { return name_start(c) || (c >= '0' && c <= '9') || c == '$'; }

// The end of the literal that begins at `at`; the deparser writes E'…' whenever there is a backslash.
std::size_t literal_end(std::string_view text, std::size_t at) {
    bool const escapes = at > 0 && text[at - 1] == 'E' && (at < 2 || !name_part(text[at - 2]));
    for (++at; at < text.size(); ++at) {
        if (escapes && text[at] == '\\') {
            ++at;
        } else if (text[at] == '\'') {
            if (at + 1 < text.size() && text[at + 1] == '\'')
                ++at;
            else
                return at + 1;
        }
    }
    return text.size();
}

struct Name {
    std::string name;
    std::size_t end = 0; // 0: there is none
};

Name name_at(std::string_view text, std::size_t at) {
    Name found;
    if (at >= text.size())
        return found;
    if (name_start(text[at])) {
        auto end = at;
        while (end < text.size() && name_part(text[end]))
            ++end;
        return {std::string{text.substr(at, end - at)}, end};
    }
    if (text[at] != '"')
        return found;
    for (++at; at < text.size(); ++at) {
        if (text[at] == '"') {
            if (at + 1 == text.size() || text[at + 1] != '"')
                return {found.name, at + 1};
            ++at;
        }
        found.name += text[at];
    }
    return {};
}

std::string unquote(std::string_view literal) { // without its quotes, doubled ones made one
    std::string out;
    for (std::size_t i = 1; i + 1 < literal.size(); ++i) {
        out += literal[i];
        if (literal[i] == '\'')
            ++i; // of two, one
    }
    return out;
}

} // namespace

void NameMap::add(QName const& from, QName const& to) {
    if (from == to)
        return;
    moved_.insert_or_assign(from, to);
    schemas_.insert(from.schema);
    quoted_.insert_or_assign(from.display(), to);
}

QName NameMap::operator()(QName const& from) const {
    auto const at = moved_.find(from);
    return at == moved_.end() ? from : at->second;
}

std::optional<std::string> NameMap::in(std::string_view text) const {
    std::string out;
    bool moved = false;
    bool doubtful = false;
    std::size_t at = 0;
    while (at < text.size()) {
        if (text[at] == '\'') {
            auto const end = literal_end(text, at);
            auto const literal = text.substr(at, end - at);
            auto const to = text.substr(end).starts_with("::regclass") ? quoted_.find(unquote(literal)) : quoted_.end();
            out += to == quoted_.end() ? std::string{literal} : sql::literal(to->second.display());
            at = end;
            continue;
        }
        auto const name = name_at(text, at);
        if (name.end == 0) {
            out += text[at++];
            continue;
        }
        bool const behind_dot = at > 0 && text[at - 1] == '.';
        auto const part = !behind_dot && name.end < text.size() && text[name.end] == '.' ? name_at(text, name.end + 1) : Name{};
        if (part.end == 0) {
            doubtful = doubtful || schemas_.contains(name.name);
            out += text.substr(at, name.end - at);
            at = name.end;
            continue;
        }
        doubtful = doubtful || schemas_.contains(part.name);
        auto const to = moved_.find({name.name, part.name});
        bool const call = part.end < text.size() && text[part.end] == '('; // a function that is named like a table
        if (to != moved_.end() && !call) {
            out += to->second.display();
            moved = true;
        } else {
            out += text.substr(at, part.end - at);
        }
        at = part.end;
    }
    if (moved && doubtful)
        return std::nullopt;
    return out;
}

namespace {

// Where the bracket that stands at `at` is closed; npos when it is not.
std::size_t closing(std::string_view text, std::size_t at) {
    int depth = 0;
    while (at < text.size()) {
        char const c = text[at];
        if (c == '\'') {
            at = literal_end(text, at);
            continue;
        }
        if (c == '"') {
            auto const name = name_at(text, at);
            at = name.end == 0 ? text.size() : name.end;
            continue;
        }
        if (c == '(' || c == '[')
            ++depth;
        if (c == ')' || c == ']') {
            if (--depth == 0)
                return at;
        }
        ++at;
    }
    return std::string_view::npos;
}

std::vector<std::string_view> elements(std::string_view list) {
    std::vector<std::string_view> all;
    std::size_t start = 0;
    std::size_t at = 0;
    while (at < list.size()) {
        char const c = list[at];
        if (c == '\'') {
            at = literal_end(list, at);
        } else if (c == '(' || c == '[') {
            auto const end = closing(list, at);
            at = end == std::string_view::npos ? list.size() : end + 1;
        } else if (c == '"') {
            auto const name = name_at(list, at);
            at = name.end == 0 ? list.size() : name.end;
        } else if (c == ',') {
            all.push_back(list.substr(start, at - start));
            at += std::size_t{list.substr(at).starts_with(", ") ? 2U : 1U};
            start = at;
        } else {
            ++at;
        }
    }
    if (start < list.size())
        all.push_back(list.substr(start));
    return all;
}

} // namespace

std::string canonical(std::string_view text) {
    constexpr std::string_view head = "(ARRAY[";
    std::string out;
    std::size_t at = 0;
    while (at < text.size()) {
        if (text[at] == '\'') {
            auto const end = literal_end(text, at);
            out += text.substr(at, end - at);
            at = end;
            continue;
        }
        if (auto const name = text[at] == '"' ? name_at(text, at) : Name{}; name.end != 0) {
            out += text.substr(at, name.end - at);
            at = name.end;
            continue;
        }
        auto const outer = text.substr(at).starts_with(head) ? closing(text, at) : std::string_view::npos;
        auto const inner = outer == std::string_view::npos ? outer : closing(text, at + head.size() - 1);
        bool const whole = outer != std::string_view::npos && inner + 1 == outer && text.substr(outer).starts_with(")::");
        auto const brackets = whole ? text.find("[]", outer) : std::string_view::npos;
        auto const type = brackets == std::string_view::npos ? std::string_view{} : text.substr(outer + 3, brackets - outer - 3);
        if (type.empty() || type.find_first_of("'[]=<>") != std::string_view::npos) {
            out += text[at++];
            continue;
        }
        out += "ARRAY[";
        char const* joint = "";
        for (auto const element : elements(text.substr(at + head.size(), inner - at - head.size()))) {
            out += joint;
            out += "(" + canonical(element) + ")::" + std::string{type};
            joint = ", ";
        }
        out += "]";
        at = brackets + 2;
    }
    return out;
}

} // namespace pgcarve::ddl
