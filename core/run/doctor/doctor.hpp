// Looks at everything that a verb would stumble over later, and says how to mend it.
//
// Reads only, in the shared database, with the rights of an ordinary role; works before
// `init`. Every finding that SQL can mend carries the SQL, to be run as the role which its
// hint names (otherwise as the owner of the object, or as an administrator). All that is
// wrong is reported at once; checks that were made and found nothing are reported as fine.
//
// What a half-done verb left is a decision (model::DoctorLevel::decision): which steps stand,
// which is next, what to type. A verb that runs at this moment is not half-done.
//
// Errors: "unreachable", "server-lost" (exit 4), "unknown-service" (exit 2).
#pragma once

#include <optional>
#include <string>

#include "model/doctor.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

// `service`: nullopt for all services of the boundary map.
[[nodiscard]] model::DoctorReport examine(Context& context, std::optional<std::string> const& service);

// The exit code that a report means: 5 a decision, 1 a problem, 0 otherwise.
[[nodiscard]] base::Exit exit_of(model::DoctorReport const& report);

} // namespace pgcarve::run
