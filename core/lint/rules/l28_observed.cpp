#include "lint/rule.hpp"

namespace pgcarve::lint {

// Told by proof.cpp: no text of a statement shows it.
Rule const& rule_l28() {
    static Rule const rule{
        .about = {.id = "L28",
                  .name = "observed",
                  .title = "the scratch server showed what no rule foresaw",
                  .why = "It rewrote a table, read all of it or built an index while a lock kept others out; or it "
                         "took such a lock for a statement that could not be read. Needs --scratch or --scratch-dsn.",
                  .lock = "",
                  .fix = "look at what the statement does, and split it",
                  .severity = model::Severity::error,
                  .violating = {},
                  .accepted = {}},
        .shows = Shows::nothing,
        .judge = nullptr};
    return rule;
}

} // namespace pgcarve::lint
