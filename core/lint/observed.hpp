// What the rules share that only a server's proof can tell (L28, S13): no text of a statement shows it.
#pragma once

#include <optional>

#include "lint/lint.hpp"

namespace pgcarve::lint {

struct ObservedAbout {
    char const* id;
    char const* name;
    char const* title;
    char const* why; // without what it needs, which all of them say
    char const* fix;
};

// An error without examples and without a judge.
[[nodiscard]] Rule observed_rule(ObservedAbout const& about);

// A finding of such a rule, proved, at a place in a file; message, object, lock and fingerprint are the caller's to set.
// nullopt: it is off there. REQUIRES: a rule of this id.
[[nodiscard]] std::optional<model::LintFinding> observed_finding(char const* id, Options const& options, std::string const& file, Lines const& lines,
                                                                 Span span);

} // namespace pgcarve::lint
