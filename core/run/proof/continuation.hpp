// How one verification follows another. Where an incremental one goes on: behind the last one of the whole service, when that was
// clean and of what the service is now, and with the share of the rows whose turn it is. And what is kept of a verdict.
//
// Errors: pg::SqlError. Threads: as the session.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "control/store.hpp"
#include "control/verify_run.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

struct Continuation {
    std::optional<base::Lsn> since; // nullopt: every row is to be compared
    std::optional<std::uint64_t> horizon; // of transactions, within one database; only where it can be relied on
    double share = 0;
    std::map<std::string, std::string> turns; // by quoted source
};

[[nodiscard]] Continuation continue_from_last(pg::Session& session, Context& context, control::ServiceState const& state, std::string const& signature);

// Into the history, with where the next shares begin. What several processes proved together (`shared`) counts once, if it is clean.
// Sets the verification's id.
void keep(pg::Session& session, control::ServiceState const& state, control::VerifyRun* shared, model::Verification& verification, bool whole,
          std::string const& signature, std::map<std::string, std::string> const& turns);

} // namespace pgcarve::run
