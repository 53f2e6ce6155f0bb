#include "lint/rule.hpp"

namespace pgcarve::lint {

Rule const& rule_a01() {
    static Rule const rule{
        .about = {.id = "A01",
                  .name = "ignore-unused",
                  .title = "an ignore that covers nothing",
                  .why = "What it once covered is gone; the next finding there would go unseen.",
                  .lock = "",
                  .fix = "take the comment out",
                  .severity = model::Severity::warning,
                  .violating = {},
                  .accepted = {}}};
    return rule;
}

} // namespace pgcarve::lint
