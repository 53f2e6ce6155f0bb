#include "lint/rule.hpp"

namespace pgcarve::lint {

Rule const& rule_a02() {
    static Rule const rule{.about = {.id = "A02",
                                     .name = "ignore-expired",
                                     .title = "an ignore whose day has come",
                                     .why = "Somebody promised to be done by then.",
                                     .lock = "",
                                     .fix = "do what was promised, or agree on another day",
                                     .severity = model::Severity::error,
                                     .violating = {},
                                     .accepted = {}}};
    return rule;
}

} // namespace pgcarve::lint
