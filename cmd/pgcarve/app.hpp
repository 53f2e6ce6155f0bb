// The program: parses the command line, runs one verb, and turns whatever ends it into an exit code.
#pragma once

namespace pgcarve::cmd {

// The process's exit code (base::Exit).
[[nodiscard]] int run(int argc, char const* const* argv);

} // namespace pgcarve::cmd
