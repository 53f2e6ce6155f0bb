#include "model/boundary.hpp"

#include <algorithm>

namespace pgcarve::model {

namespace {

// Bytes of the UTF-8 character that starts here; a stray byte counts as one character.
std::size_t character_bytes(std::string_view text, std::size_t at) {
    std::size_t end = at + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
        ++end;
    return end - at;
}

// * is any run of characters, ? is one character (not one byte). Linear but for the last star's retries.
bool glob_matches(std::string_view pattern, std::string_view text) {
    std::size_t p = 0;
    std::size_t t = 0;
    std::size_t star = std::string_view::npos; // the last * seen, and where in the text it was tried
    std::size_t tried = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            tried = t;
        } else if (p < pattern.size() && pattern[p] == '?') {
            ++p;
            t += character_bytes(text, t);
        } else if (p < pattern.size() && pattern[p] == text[t]) {
            ++p;
            ++t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            tried += character_bytes(text, tried);
            t = tried;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*')
        ++p;
    return p == pattern.size();
}

bool part_matches(std::string const& pattern, bool literal, std::string const& name) {
    return literal ? pattern == name : glob_matches(pattern, name);
}

} // namespace

bool pattern_matches(TablePattern const& pattern, sql::QName const& table) {
    return part_matches(pattern.schema, pattern.schema_literal, table.schema) &&
           part_matches(pattern.name, pattern.name_literal, table.name);
}

bool patterns_own(std::vector<TablePattern> const& patterns, sql::QName const& table) {
    auto const fits = [&](bool exclude) {
        return std::ranges::any_of(patterns, [&](TablePattern const& p) {
            return p.exclude == exclude && pattern_matches(p, table);
        });
    };
    return fits(false) && !fits(true);
}

bool text_matches(std::string_view pattern, std::string_view text) { return glob_matches(pattern, text); }

namespace {

// Tries every length for a star; patterns of paths are short.
bool path_rest_matches(std::string_view pattern, std::string_view path) {
    if (pattern.empty())
        return path.empty();
    if (pattern.starts_with("**")) {
        auto rest = pattern.substr(2);
        if (rest.starts_with('/') && path_rest_matches(rest.substr(1), path)) // **/ may be nothing
            return true;
        for (std::size_t skip = 0; skip <= path.size(); ++skip) {
            if (path_rest_matches(rest, path.substr(skip)))
                return true;
        }
        return false;
    }
    if (pattern[0] == '*') {
        for (std::size_t skip = 0; skip <= path.size(); ++skip) {
            if (path_rest_matches(pattern.substr(1), path.substr(skip)))
                return true;
            if (skip < path.size() && path[skip] == '/')
                return false;
        }
        return false;
    }
    if (path.empty() || (pattern[0] == '?' ? path[0] == '/' : pattern[0] != path[0]))
        return false;
    return path_rest_matches(pattern.substr(1), path.substr(pattern[0] == '?' ? character_bytes(path, 0) : 1));
}

} // namespace

bool path_matches(std::string_view pattern, std::string_view path) {
    for (auto* const text : {&pattern, &path}) {
        while (text->starts_with("./"))
            text->remove_prefix(2);
    }
    return path_rest_matches(pattern, path);
}

Service const* BoundaryMap::service(std::string const& name) const {
    auto const at = services.find(name);
    return at == services.end() ? nullptr : &at->second;
}

char const* text(DualWrite v) { return v == DualWrite::trigger ? "trigger" : "application"; }
char const* text(Strategy v) { return v == Strategy::copy ? "copy" : "move"; }
char const* text(Legacy v) { return v == Legacy::refuse ? "refuse" : "view"; }

char const* text(CrossingDecision v) {
    switch (v) {
    case CrossingDecision::keep: return "keep";
    case CrossingDecision::loose: return "loose";
    case CrossingDecision::replicate: return "replicate";
    case CrossingDecision::drop: return "drop";
    }
    return "keep";
}

} // namespace pgcarve::model
