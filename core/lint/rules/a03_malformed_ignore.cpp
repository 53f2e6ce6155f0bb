#include "lint/rule.hpp"

namespace pgcarve::lint {

Rule const& rule_a03() {
    static Rule const rule{.about = {.id = "A03",
                                     .name = "ignore-malformed",
                                     .title = "an ignore that cannot be understood",
                                     .why = "A typing error in it would let nothing, or everything, through.",
                                     .lock = "",
                                     .fix = "-- pgcarve:ignore L05 the reason [until 2027-01-31]",
                                     .severity = model::Severity::error,
                                     .violating = {},
                                     .accepted = {}}};
    return rule;
}

} // namespace pgcarve::lint
