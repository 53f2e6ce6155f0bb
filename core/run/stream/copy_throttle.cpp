#include "run/stream/copy_throttle.hpp"

#include <fmt/format.h>

#include "control/migrations.hpp"
#include "control/throttle.hpp"
#include "mirror/throttle.hpp"

namespace pgcarve::run {

void throttle_copy(Context const& context, std::string const& service, std::string const& reason) {
    (void)context.service(service);
    pg::Session session{context.shared("throttle")};
    control::require_current(session, control::embedded_migrations());
    control::ask_throttle(session, service, context.operator_name, reason);
}

CopyThrottle::~CopyThrottle() {
    try {
        if (noted_ && !noted_->empty() && shared_.alive() && !shared_.in_transaction())
            note("");
    } catch (base::Error const&) { // NOLINT(bugprone-empty-catch)
        // The note stays, as after a kill: status shows it while somebody holds the lease alone.
    }
}

std::string CopyThrottle::reason(pg::Session& source) {
    std::string why;
    auto const asked = control::throttle_state(shared_, way_.service);
    auto const log = log_.look(source); // always: it warns
    if (asked.asked)
        why = fmt::format("{} ({}, since {} UTC)", *asked.asked, asked.asked_by, asked.asked_at);
    else
        why = !log.empty() ? log : mirror::throttle_reason(source, options_.limits().throttle);
    note(why);
    return why;
}

void CopyThrottle::note(std::string const& reason) {
    if (noted_.value_or("") == reason)
        return;
    control::note_waits(shared_, way_.service, reason);
    noted_ = reason;
}

} // namespace pgcarve::run
