#include "lint/observed.hpp"

namespace pgcarve::lint {

// Told by proof.cpp.
Rule const& rule_l28() {
    static Rule const rule = observed_rule({.id = "L28",
                                            .name = "observed",
                                            .title = "the scratch server showed what no rule foresaw",
                                            .why = "It rewrote a table, read all of it or built an index while a lock kept others out; or it "
                                                   "took such a lock for a statement that could not be read.",
                                            .fix = "look at what the statement does, and split it"});
    return rule;
}

} // namespace pgcarve::lint
