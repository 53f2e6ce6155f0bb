// What other sessions do on a server: how busy it is with its own work. pgcarve's own sessions, of whatever process, do not count.
#pragma once

#include <string>

#include "pg/session.hpp"

namespace pgcarve::verify {

// Whether this role may see what sessions of other roles do.
[[nodiscard]] bool sees_activity(pg::Session& session);

struct Activity {
    long long active = 0; // clients with a statement under way
    long long unseen = 0; // clients of which nothing is known: rights are missing, or they have track_activities off
};
[[nodiscard]] Activity read_activity(pg::Session& session);

// To whoever asked for nothing in particular: why it takes the server for busy.
[[nodiscard]] std::string unseen_note(pg::Session& session);

} // namespace pgcarve::verify
