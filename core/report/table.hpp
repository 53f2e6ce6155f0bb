// Aligned text for a terminal: columns, cut names, tones, numbers for people.
//
// Everything that comes from outside (names, values, reasons) goes through printable(), so that
// a table's name can neither move the cursor nor break a line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/render.hpp"

namespace pgcarve::report {

enum class Tone { plain, strong, dim, good, warn, bad };

// `text` in a tone; unchanged without colour.
[[nodiscard]] std::string paint(std::string_view text, Tone tone, Style style);

// Control characters, bytes that are no UTF-8 and characters that reorder text become visible escapes.
[[nodiscard]] std::string printable(std::string_view text);
// The same for text whose lines stay lines (a server's message, a statement).
[[nodiscard]] std::string printable_lines(std::string_view text);
// Columns that printable text takes on a terminal: wide East Asian characters take two, combining marks none.
[[nodiscard]] int display_width(std::string_view text);
// At most `width` columns, the middle replaced by … since names differ at both ends.
[[nodiscard]] std::string cut_middle(std::string_view text, int width);

[[nodiscard]] std::string number(std::int64_t value); // 1,234,567
[[nodiscard]] std::string plural(std::int64_t count, std::string_view one, std::string_view many = {});
[[nodiscard]] std::string seconds(double value);      // 3m 20s, 450ms
[[nodiscard]] std::string bytes(std::int64_t value);  // 12 MB, as pg_size_pretty would
[[nodiscard]] std::string milliseconds(double value); // 12.3 ms
[[nodiscard]] std::string joined(std::vector<std::string> const& items, std::string_view separator = ", ");
// Every line of `text` after `indent`.
[[nodiscard]] std::string indented(std::string_view text, std::string_view indent);

struct Cell {
    // NOLINTNEXTLINE(google-explicit-constructor): rows are written as lists of texts
    Cell(std::string t, Tone n = Tone::plain)
        : text{std::move(t)}
        , tone{n} {}
    std::string text;
    Tone tone;
};

// Rows under headers, two blanks between columns, two before the first.
class Table {
public:
    explicit Table(std::vector<std::string> headers);
    Table& right(std::size_t column);  // numbers
    void row(std::vector<Cell> cells); // REQUIRES: as many as headers
    [[nodiscard]] bool empty() const { return rows_.empty(); }
    // Columns too wide for the style are cut, the widest first.
    [[nodiscard]] std::string text(Style style) const;

private:
    [[nodiscard]] std::vector<int> widths(int available) const;

    std::vector<std::string> headers_;
    std::vector<bool> right_;
    std::vector<std::vector<Cell>> rows_;
};

} // namespace pgcarve::report
