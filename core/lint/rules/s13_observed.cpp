#include "lint/rule.hpp"

namespace pgcarve::lint {

// Told by proof_sync.cpp: no text of a statement shows it.
Rule const& rule_s13() {
    static Rule const rule{
        .about = {.id = "S13",
                  .name = "sync-observed",
                  .title = "a sync broke on the scratch server, and no rule foresaw it",
                  .why = "The mirror or the stream that was made there did not keep both sides equal after the change, "
                         "or the application could not write. Needs --scratch or --scratch-dsn.",
                  .lock = "",
                  .fix = "wait with the change until the sync is over, or make it at both sides and let the sync take it up",
                  .severity = model::Severity::error,
                  .violating = {},
                  .accepted = {}},
        .shows = Shows::nothing,
        .judge = nullptr};
    return rule;
}

} // namespace pgcarve::lint
