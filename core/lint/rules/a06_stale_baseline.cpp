#include "lint/rule.hpp"

namespace pgcarve::lint {

Rule const& rule_a06() {
    static Rule const rule{
        .about = {.id = "A06",
                  .name = "baseline-stale",
                  .title = "the baseline knows a finding that is gone",
                  .why = "The baseline only ever shrinks: what is mended must not come back unseen.",
                  .lock = "",
                  .fix = "write it again with --write-baseline",
                  .severity = model::Severity::warning,
                  .violating = {},
                  .accepted = {}}};
    return rule;
}

} // namespace pgcarve::lint
