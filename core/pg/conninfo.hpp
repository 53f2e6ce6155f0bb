// Connection strings by libpq's rules, without ever showing a secret.
#pragma once

#include <map>
#include <string>

namespace pgcarve::pg {

// The keywords which `dsn` (key=value text or URI) sets. Throws "bad-dsn" (exit 2) when libpq cannot parse
// it; the message does not repeat the string, since it may hold a password.
[[nodiscard]] std::map<std::string, std::string> parse_conninfo(std::string const& dsn);

// The keywords as a connection string that libpq takes.
[[nodiscard]] std::string make_conninfo(std::map<std::string, std::string> const& keywords);

} // namespace pgcarve::pg
