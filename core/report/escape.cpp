#include "report/escape.hpp"

#include "report/table.hpp"

namespace pgcarve::report {

namespace {

// UTF-8 that XML 1.0 has no place for: U+FFFE and U+FFFF.
bool is_no_xml(std::string_view three) { return three == "\xEF\xBF\xBE" || three == "\xEF\xBF\xBF"; }

} // namespace

std::string escape_xml(std::string_view text) {
    auto const seen = printable_lines(text);
    std::string out;
    for (std::size_t i = 0; i < seen.size(); ++i) {
        switch (seen[i]) {
        case '&':
            out += "&amp;";
            break;
        case '<':
            out += "&lt;";
            break;
        case '>':
            out += "&gt;";
            break;
        case '"':
            out += "&quot;";
            break;
        case '\n':
            out += "&#10;";
            break;
        default:
            if (is_no_xml(std::string_view{seen}.substr(i, 3))) {
                out += "\xEF\xBF\xBD";
                i += 2;
            } else {
                out += seen[i];
            }
            break;
        }
    }
    return out;
}

std::string escape_markdown(std::string_view text) {
    constexpr std::string_view meaningful = "|<>*_`[]\\&~";
    std::string out;
    for (char const c : printable(text)) {
        if (meaningful.find(c) != std::string_view::npos)
            out += '\\';
        out += c;
    }
    return out;
}

std::string escape_label(std::string_view text) {
    std::string out;
    for (char const c : printable_lines(text)) {
        if (c == '\n') {
            out += "\\n";
            continue;
        }
        if (c == '\\' || c == '"')
            out += '\\';
        out += c;
    }
    return out;
}

} // namespace pgcarve::report
