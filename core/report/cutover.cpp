#include <fmt/format.h>

#include "report/document.hpp"
#include "report/render.hpp"
#include "report/table.hpp"

namespace pgcarve::report {

namespace {

std::string block_line(model::CutoverResult const& result) {
    auto const predicted = result.predicted_write_block_ms
                               ? fmt::format("predicted {}", milliseconds(*result.predicted_write_block_ms))
                               : std::string{"not predicted"};
    if (!result.write_block_ms)
        return fmt::format("  write block: {}\n", predicted);
    return fmt::format("  write block: {} ({})\n", milliseconds(*result.write_block_ms), predicted);
}

} // namespace

std::string text(model::CutoverResult const& result, Style style) {
    auto const name = paint(printable(result.service), Tone::strong, style);
    std::string out;
    if (result.already)
        out += fmt::format("{}: already {}, nothing to do\n", name, result.to);
    else if (result.undone)
        out += fmt::format("{}: {} {}, still {}: {}\n", name, result.verb, paint("undone", Tone::bad, style),
                           result.from, printable(*result.undone)) +
               block_line(result);
    else if (result.moved())
        out += fmt::format("{}: {} {}, {} → {}\n", name, result.verb, paint("done", Tone::good, style),
                           result.from, result.to) +
               block_line(result);
    else
        out += fmt::format("{}: {} {}, still {}\n", name, result.verb, paint("refused", Tone::bad, style),
                           result.from) +
               block_line(result);
    bool const gate_matters = !result.already && (!result.moved() || !result.gate.conditions.empty());
    if (gate_matters && !result.undone)
        out += text(result.gate, style);
    if (!result.next.empty())
        out += fmt::format("  next: {}\n", printable(result.next));
    return out;
}

std::string json(model::CutoverResult const& result) {
    auto out = document();
    auto const block = [](std::optional<double> const& ms) { return ms ? rounded(*ms) : Json(nullptr); };
    out["verb"] = result.verb;
    out["service"] = result.service;
    out["from"] = result.from;
    out["to"] = result.to;
    out["moved"] = result.moved();
    out["already"] = result.already;
    out["undone"] = or_null(result.undone);
    out["predicted_write_block_ms"] = block(result.predicted_write_block_ms);
    out["write_block_ms"] = block(result.write_block_ms);
    out["gate"] = gate_json(result.gate);
    out["next"] = result.next;
    return dump(out);
}

} // namespace pgcarve::report
