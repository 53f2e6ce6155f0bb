// What linting found, and what the rules are: plain values for the renderers.
#pragma once

#include <string>
#include <vector>

namespace pgcarve::model {

enum class Severity { off, warning, error };

// 1-based; columns count characters, not bytes.
struct Position {
    int line = 1;
    int column = 1;
};

struct LintFinding {
    std::string rule;
    Severity severity = Severity::error;
    std::string file;
    Position from;
    Position to;         // behind the last character
    std::string message; // lower-case, without a full stop
    std::string fix;     // what to write instead; may have several lines
    std::string lock;    // the lock that the statement takes, "" where none matters
    std::string proof;   // proved, heuristic, not_analysed
    std::string object;  // what the finding is about: public.orders.note
    std::string excerpt; // the line of `from`, as it stands
    std::string fingerprint; // the same while the statement's text and its file's name stay
};

// A statement, or a part of one, that was not judged.
struct LintGap {
    std::string file;
    Position from;
    Position to;
    std::string reason;
    std::string excerpt;
};

struct LintCoverage {
    int statements = 0;
    int proved = 0;
    int heuristic = 0;
    int not_analysed = 0;
};

struct LintReport {
    std::vector<std::string> files; // in the order in which they were judged
    std::vector<LintFinding> findings; // by file in that order, then by position
    std::vector<LintGap> gaps;         // likewise
    LintCoverage coverage;
    int ignored = 0;    // findings which an ignore, the baseline or an accepted crossing covers
    bool boundary = false; // the boundary rules were judged
    bool sync = false;     // the sync rules were
    bool gaps_allowed = false;
};

struct LintRule {
    std::string id;   // L05
    std::string name; // set-not-null
    std::string title;
    std::string why;
    std::string lock;
    std::string fix;
    Severity severity = Severity::error;
    std::vector<std::string> violating; // examples
    std::vector<std::string> accepted;
};

[[nodiscard]] char const* text(Severity severity);

} // namespace pgcarve::model
