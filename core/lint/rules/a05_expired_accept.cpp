#include "lint/rule.hpp"

namespace pgcarve::lint {

Rule const& rule_a05() {
    static Rule const rule{.about = {.id = "A05",
                                     .name = "accept-expired",
                                     .title = "an accepted finding whose day has come",
                                     .why = "Somebody promised to be done by then.",
                                     .lock = "",
                                     .fix = "do what was promised, or agree on another day in pgcarve.toml",
                                     .severity = model::Severity::error,
                                     .violating = {},
                                     .accepted = {}}};
    return rule;
}

} // namespace pgcarve::lint
