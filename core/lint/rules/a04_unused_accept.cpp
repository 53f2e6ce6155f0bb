#include "lint/rule.hpp"

namespace pgcarve::lint {

Rule const& rule_a04() {
    static Rule const rule{
        .about = {.id = "A04",
                  .name = "accept-unused",
                  .title = "an accepted finding that is found no more",
                  .why = "What [[lint.accept]] covers is gone; the next one there would go unseen.",
                  .lock = "",
                  .fix = "take the entry out of pgcarve.toml",
                  .severity = model::Severity::warning,
                  .violating = {},
                  .accepted = {}}};
    return rule;
}

} // namespace pgcarve::lint
