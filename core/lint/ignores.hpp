// What somebody has answered for: comments in the migrations, and the baseline file.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lint/source.hpp"

namespace pgcarve::lint {

// -- pgcarve:ignore L05[,L06] reason [until 2027-01-31]      for the next statement, or the one around it
// -- pgcarve:ignore-file L05 reason [until 2027-01-31]       for the whole file
struct Ignore {
    Span span;                      // of the comment
    std::vector<std::string> rules; // ids; not_analysed stands for what could not be analysed
    std::string reason;
    std::string until; // YYYY-MM-DD, the last day; "" for ever
    bool whole_file = false;
    std::string wrong;      // why it means nothing; "" when it is well-formed
    std::vector<bool> used; // one for each rule
};

[[nodiscard]] std::vector<Ignore> read_ignores(std::string_view text, std::vector<Span> const& comments);

// Known findings by fingerprint. The file is JSON, read and written by cmd through these.
struct Baseline {
    struct Entry {
        std::string rule;
        std::string file;
        std::string fingerprint;
    };
    std::vector<Entry> entries;
};

// A fingerprint over a rule, a file's name and the tokens of a statement: blanks and comments do not matter.
[[nodiscard]] std::string fingerprint(std::string_view rule, std::string_view file,
                                      std::string_view statement, int occurrence);

} // namespace pgcarve::lint
