#include "report/table.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "base/duration.hpp"
#include "base/error.hpp"

namespace pgcarve::report {

namespace {

struct Character {
    char32_t code = 0;
    std::size_t bytes = 1;
    bool valid = false;
};

// The UTF-8 character at `at`; overlong forms, surrogates and cut sequences are not valid.
Character character_at(std::string_view text, std::size_t at) {
    auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    auto const first = byte(at);
    if (first < 0x80)
        return {first, 1, true};
    std::size_t const length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || at + length > text.size())
        return {};
    char32_t code = first & (0xFFU >> (length + 1));
    for (std::size_t i = at + 1; i < at + length; ++i) {
        if ((byte(i) & 0xC0U) != 0x80U)
            return {};
        code = (code << 6U) | (byte(i) & 0x3FU);
    }
    constexpr std::array<char32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
    if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return {};
    return {code, length, true};
}

struct Range {
    char32_t first;
    char32_t last;
};

template <std::size_t N>
bool within(char32_t code, std::array<Range, N> const& ranges) {
    return std::ranges::any_of(ranges, [&](Range const& r) { return code >= r.first && code <= r.last; });
}

constexpr std::array<Range, 12> zero_width{{{0x300, 0x36F},
                                            {0x483, 0x489},
                                            {0x591, 0x5BD},
                                            {0x610, 0x61A},
                                            {0x64B, 0x65F},
                                            {0xE31, 0xE31},
                                            {0xE34, 0xE3A},
                                            {0x1AB0, 0x1AFF},
                                            {0x200B, 0x200D},
                                            {0x20D0, 0x20FF},
                                            {0xFE00, 0xFE0F},
                                            {0xFE20, 0xFE2F}}};
constexpr std::array<Range, 10> double_width{{{0x1100, 0x115F},
                                              {0x2E80, 0x303E},
                                              {0x3041, 0xA4CF},
                                              {0xAC00, 0xD7A3},
                                              {0xF900, 0xFAFF},
                                              {0xFE30, 0xFE6F},
                                              {0xFF00, 0xFF60},
                                              {0xFFE0, 0xFFE6},
                                              {0x1F300, 0x1F9FF},
                                              {0x20000, 0x3FFFD}}};
// C0, DEL and C1 controls, line separators, and what turns the direction of text.
constexpr std::array<Range, 6> unprintable{
    {{0, 0x1F}, {0x7F, 0x9F}, {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2066, 0x2069}, {0xFEFF, 0xFEFF}}};

int width_of(char32_t code) {
    return within(code, zero_width) ? 0 : within(code, double_width) ? 2 : 1;
}

// The longest head, or tail, of `text` that fits.
std::string_view head(std::string_view text, int width) {
    std::size_t at = 0;
    while (at < text.size()) {
        auto const c = character_at(text, at);
        width -= width_of(c.code);
        if (width < 0)
            break;
        at += c.bytes;
    }
    return text.substr(0, at);
}

std::string_view tail(std::string_view text, int width) {
    int skip = display_width(text) - width;
    std::size_t at = 0;
    while (at < text.size() && skip > 0) {
        auto const c = character_at(text, at);
        skip -= width_of(c.code);
        at += c.bytes;
    }
    while (at < text.size()) { // a mark without the character it belongs to
        auto const c = character_at(text, at);
        if (width_of(c.code) != 0)
            break;
        at += c.bytes;
    }
    return text.substr(at);
}

} // namespace

std::string paint(std::string_view text, Tone tone, Style style) {
    if (!style.colour || tone == Tone::plain || text.empty())
        return std::string{text};
    char const* code = "0";
    switch (tone) {
    case Tone::plain:
        break;
    case Tone::strong:
        code = "1";
        break;
    case Tone::dim:
        code = "2";
        break;
    case Tone::good:
        code = "32";
        break;
    case Tone::warn:
        code = "33";
        break;
    case Tone::bad:
        code = "31";
        break;
    }
    return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

std::string printable(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        auto const c = character_at(text, at);
        if (!c.valid || c.code < 0x80)
            out += c.valid && !within(c.code, unprintable)
                       ? std::string{text[at]}
                       : fmt::format("\\x{:02x}", static_cast<unsigned char>(text[at]));
        else if (within(c.code, unprintable))
            out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c.code));
        else
            out += text.substr(at, c.bytes);
        at += c.bytes;
    }
    return out;
}

std::string printable_lines(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at <= text.size();) {
        auto const end = std::min(text.find('\n', at), text.size());
        out += (at == 0 ? "" : "\n") + printable(text.substr(at, end - at));
        at = end + 1;
    }
    return out;
}

int display_width(std::string_view text) {
    int width = 0;
    for (std::size_t at = 0; at < text.size();) {
        auto const c = character_at(text, at);
        width += width_of(c.code);
        at += c.bytes;
    }
    return width;
}

std::string cut_middle(std::string_view text, int width) {
    if (display_width(text) <= width)
        return std::string{text};
    if (width < 1)
        return {};
    auto const room = width - 1;
    return fmt::format("{}…{}", head(text, room - room / 2), tail(text, room / 2));
}

std::string number(std::int64_t value) {
    auto digits = fmt::format("{}", value);
    auto const first = value < 0 ? 1 : 0;
    for (auto at = static_cast<int>(digits.size()) - 3; at > first; at -= 3)
        digits.insert(static_cast<std::size_t>(at), ",");
    return digits;
}

std::string plural(std::int64_t count, std::string_view one, std::string_view many) {
    if (count == 1)
        return fmt::format("1 {}", one);
    return many.empty() ? fmt::format("{} {}s", number(count), one)
                        : fmt::format("{} {}", number(count), many);
}

std::string seconds(double value) {
    if (value == 0)
        return "0s";
    constexpr double longest = 1e12; // beyond it the milliseconds do not fit; nobody reads that either
    auto const bounded = std::isfinite(value) ? std::clamp(value, -longest, longest) : longest;
    return base::describe_duration(base::Millis{static_cast<std::int64_t>(std::llround(bounded * 1000))});
}

std::string bytes(std::int64_t value) {
    constexpr std::array units{"B", "kB", "MB", "GB", "TB", "PB"};
    auto amount = static_cast<double>(value);
    std::size_t unit = 0;
    while (std::abs(amount) >= 1024 && unit + 1 < units.size()) {
        amount /= 1024;
        ++unit;
    }
    return unit == 0 || amount >= 10 ? fmt::format("{:.0f} {}", amount, units[unit])
                                     : fmt::format("{:.1f} {}", amount, units[unit]);
}

std::string milliseconds(double value) {
    return fmt::format("{:.1f} ms", value);
}

std::string joined(std::vector<std::string> const& items, std::string_view separator) {
    std::string out;
    for (auto const& item : items) {
        if (!out.empty())
            out += separator;
        out += item;
    }
    return out;
}

std::string indented(std::string_view text, std::string_view indent) {
    std::string out;
    while (!text.empty()) {
        auto const line = text.substr(0, text.find('\n'));
        out += line.empty() ? "\n" : fmt::format("{}{}\n", indent, line);
        text.remove_prefix(std::min(line.size() + 1, text.size()));
    }
    return out;
}

Table::Table(std::vector<std::string> headers)
    : headers_{std::move(headers)}
    , right_(headers_.size(), false) {}

Table& Table::right(std::size_t column) {
    right_.at(column) = true;
    return *this;
}

void Table::row(std::vector<Cell> cells) {
    if (cells.size() != headers_.size())
        base::bug("a row has another number of cells than its table has columns");
    for (auto& cell : cells)
        cell.text = printable(cell.text);
    rows_.push_back(std::move(cells));
}

std::vector<int> Table::widths(int available) const {
    std::vector<int> widths;
    for (std::size_t i = 0; i < headers_.size(); ++i) {
        int width = display_width(headers_[i]);
        for (auto const& row : rows_)
            width = std::max(width, display_width(row[i].text));
        widths.push_back(width);
    }
    if (available <= 0)
        return widths;
    constexpr int narrowest = 8;
    int const gaps = 2 * static_cast<int>(widths.size());
    for (int excess = std::accumulate(widths.begin(), widths.end(), gaps) - available; excess > 0; --excess) {
        auto const widest = std::ranges::max_element(widths);
        if (*widest <= narrowest)
            break;
        --*widest;
    }
    return widths;
}

std::string Table::text(Style style) const {
    auto const columns = widths(style.width);
    std::string out;
    auto const line = [&](auto const& cell_of) {
        std::string text;
        for (std::size_t i = 0; i < columns.size(); ++i) {
            Cell const& cell = cell_of(i);
            auto const shown = cut_middle(cell.text, columns[i]);
            std::string const pad(static_cast<std::size_t>(columns[i] - display_width(shown)), ' ');
            text += "  ";
            text += right_[i] ? pad + paint(shown, cell.tone, style) : paint(shown, cell.tone, style) + pad;
        }
        text.erase(text.find_last_not_of(' ') + 1);
        out += text + '\n';
    };
    std::vector<Cell> const header{[&] {
        std::vector<Cell> cells;
        for (auto const& name : headers_)
            cells.emplace_back(name, Tone::dim);
        return cells;
    }()};
    line([&](std::size_t i) -> Cell const& { return header[i]; });
    for (auto const& row : rows_)
        line([&](std::size_t i) -> Cell const& { return row[i]; });
    return out;
}

} // namespace pgcarve::report
