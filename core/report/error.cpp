#include <fmt/format.h>

#include "report/document.hpp"
#include "report/render.hpp"
#include "report/table.hpp"

namespace pgcarve::report {

std::string text(base::Error const& error, Style style) {
    auto out = fmt::format("{}: {}\n", paint(fmt::format("error {}", error.code()), Tone::bad, style),
                           printable_lines(error.message()));
    for (auto const& detail : error.details())
        out += indented(printable_lines(detail), "  ");
    if (!error.hint().empty())
        out += fmt::format("  hint: {}\n", printable_lines(error.hint()));
    return out;
}

std::string json(base::Error const& error) {
    auto out = document();
    auto& inner = out["error"];
    inner["code"] = error.code();
    inner["message"] = error.message();
    inner["details"] = error.details();
    inner["hint"] = error.hint();
    inner["exit"] = static_cast<int>(error.exit());
    return dump(out);
}

} // namespace pgcarve::report
