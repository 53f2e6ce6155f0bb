#include "lint/observed.hpp"

namespace pgcarve::lint {

// Told by proof_sync.cpp.
Rule const& rule_s13() {
    static Rule const rule =
        observed_rule({.id = "S13",
                       .name = "sync-observed",
                       .title = "a sync broke on the scratch server, and no rule foresaw it",
                       .why = "The mirror or the stream that was made there did not keep both sides equal after the change, "
                              "or the application could not write.",
                       .fix = "wait with the change until the sync is over, or make it at both sides and let the sync take it up"});
    return rule;
}

} // namespace pgcarve::lint
