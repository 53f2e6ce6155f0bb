#pragma once

#include <string>

namespace pgcarve::cmd {

// The file's text. Error "config-unreadable" (exit 2).
[[nodiscard]] std::string read_config(std::string const& path);

} // namespace pgcarve::cmd
