#include <algorithm>

#include <fmt/format.h>

#include "report/document.hpp"
#include "report/render.hpp"
#include "report/table.hpp"

namespace pgcarve::report {

namespace {

using model::ServiceStatus;
using model::Verdict;

std::string window_text(ServiceStatus const& s) {
    auto const required = seconds(static_cast<double>(s.window.required_seconds));
    if (!s.window.started_at)
        return fmt::format("{}, not begun", required);
    return fmt::format("{} of {}", seconds(static_cast<double>(s.window.elapsed_seconds)), required);
}

std::string lag_text(ServiceStatus const& s) {
    if (!s.lag.bytes && !s.lag.seconds)
        return "-";
    std::vector<std::string> parts;
    if (s.lag.seconds)
        parts.push_back(seconds(*s.lag.seconds));
    if (s.lag.bytes && (*s.lag.bytes > 0 || !s.lag.seconds))
        parts.push_back(bytes(*s.lag.bytes));
    return joined(parts);
}

Cell verification_cell(ServiceStatus const& s) {
    if (!s.last_verification)
        return {"never", Tone::dim};
    auto const& v = *s.last_verification;
    auto const tone = v.verdict == Verdict::clean       ? Tone::good
                      : v.verdict == Verdict::different ? Tone::bad
                                                        : Tone::warn;
    return {fmt::format("{}, {} ago", model::text(v.verdict), seconds(v.age_seconds)), tone};
}

Cell gate_cell(model::Gate const& gate) {
    if (gate.open())
        return {"open", Tone::good};
    if (gate.conditions.empty())
        return {"-", Tone::dim};
    auto const holds_back = [](model::Condition const& c) {
        return c.state != model::ConditionState::pass && !c.overridden;
    };
    return {fmt::format("closed by {} of {}", std::ranges::count_if(gate.conditions, holds_back),
                        gate.conditions.size()),
            Tone::warn};
}

// "service checkout: …" lines that must not be missed whatever the form.
std::vector<std::string> alarms(ServiceStatus const& s) {
    std::vector<std::string> out;
    if (s.unfinished)
        out.push_back(fmt::format("unfinished: {}", printable(*s.unfinished)));
    for (auto const& drift : s.drift)
        out.push_back(fmt::format("drift: {}", printable(drift)));
    if (s.throttled)
        out.push_back(fmt::format("throttled: {}", printable(*s.throttled)));
    if (s.loose && s.loose->problem)
        out.push_back(fmt::format("loose foreign keys: {}: {}", plural(s.loose->refused, "entry cannot be worked off", "entries cannot be worked off"),
                                  printable(*s.loose->problem)));
    for (auto const& orphans : s.loose ? s.loose->orphans : std::vector<model::OrphanCount>{}) {
        if (orphans.rows > 0)
            out.push_back(fmt::format("orphans: {} of {} without a parent, counted {}", plural(orphans.rows, "row"), printable(orphans.key), orphans.counted_at));
    }
    return out;
}

std::string copy_text(model::CopyProgress const& copy) {
    auto out = fmt::format("{} of {}, {} of about {}", copy.tables_done, plural(copy.tables_total, "table"),
                           number(copy.rows_done), plural(copy.rows_estimated, "row"));
    if (copy.seconds_left)
        out += fmt::format(", {} left", seconds(*copy.seconds_left));
    return out;
}

std::string loose_text(model::LooseStatus const& loose) {
    if (!loose.waiting)
        return "cannot be read";
    if (*loose.waiting == 0)
        return "nothing waits";
    auto out = fmt::format("{} wait", number(*loose.waiting));
    if (loose.oldest_seconds > 0)
        out += fmt::format(", the oldest for {}", seconds(loose.oldest_seconds));
    return out;
}

std::string line(std::string_view name, std::string_view value) {
    return fmt::format("  {:<12}  {}\n", name, value);
}

std::string one_service(ServiceStatus const& s, Style style) {
    auto out = fmt::format("{}: {}", paint(printable(s.service), Tone::strong, style), s.phase);
    if (!s.hop.empty())
        out += fmt::format(" ({} hop)", s.hop);
    out += '\n';
    if (!s.authority.empty())
        out += line("writes go to", fmt::format("the {} side", s.authority));
    out +=
        line("window", s.window.started_at ? fmt::format("{}, since {}", window_text(s), *s.window.started_at)
                                           : window_text(s));
    out += line("lag", lag_text(s));
    if (s.copy)
        out += line("copied", copy_text(*s.copy));
    if (s.loose)
        out += line("loose keys", loose_text(*s.loose));
    auto const check = verification_cell(s);
    out += line("last check", paint(check.text, check.tone, style));
    if (s.last_verification)
        out +=
            line("", fmt::format("{}, {}, {} clean in a row ({})", plural(s.last_verification->rows, "row"),
                                 plural(s.last_verification->differences, "difference"),
                                 s.last_verification->clean_in_a_row, s.last_verification->mode));
    for (auto const& alarm : alarms(s))
        out += "  " + paint(alarm, Tone::warn, style) + "\n";
    if (!s.gate.conditions.empty())
        out += "\n" + text(s.gate, style);
    if (!s.next.empty())
        out += fmt::format("\n  next: {}\n", printable(s.next));
    return out;
}

std::string several_services(std::vector<ServiceStatus> const& services, Style style) {
    Table table{{"SERVICE", "PHASE", "WRITES", "WINDOW", "LAG", "LAST CHECK", "GATE"}};
    for (auto const& s : services)
        table.row({{s.service, Tone::strong},
                   s.phase,
                   s.authority,
                   window_text(s),
                   lag_text(s),
                   verification_cell(s),
                   gate_cell(s.gate)});
    auto out = table.text(style);
    std::string notes;
    for (auto const& s : services) {
        for (auto const& alarm : alarms(s))
            notes += fmt::format("  {}: {}\n", printable(s.service), paint(alarm, Tone::warn, style));
        if (s.copy)
            notes += fmt::format("  {}: copied {}\n", printable(s.service), copy_text(*s.copy));
        if (!s.next.empty())
            notes += fmt::format("  {}: next: {}\n", printable(s.service), printable(s.next));
    }
    return notes.empty() ? out : out + "\n" + notes;
}

Json side_json(model::SyncedSide const& side) {
    Json out;
    out["database"] = side.database;
    out["schema"] = side.table.schema;
    out["name"] = side.table.name;
    return out;
}

Json status_json(ServiceStatus const& s) {
    Json out;
    out["service"] = s.service;
    out["phase"] = s.phase;
    out["hop"] = s.hop.empty() ? Json(nullptr) : Json(s.hop);
    out["authority"] = s.authority;
    out["window"]["required_seconds"] = s.window.required_seconds;
    out["window"]["elapsed_seconds"] = s.window.elapsed_seconds;
    out["window"]["started_at"] = or_null(s.window.started_at);
    out["lag"]["bytes"] = or_null(s.lag.bytes);
    out["lag"]["seconds"] = s.lag.seconds ? rounded(*s.lag.seconds) : Json(nullptr);
    out["copy"] = nullptr;
    if (s.copy) {
        Json copy;
        copy["tables_done"] = s.copy->tables_done;
        copy["tables_total"] = s.copy->tables_total;
        copy["rows_done"] = s.copy->rows_done;
        copy["rows_estimated"] = s.copy->rows_estimated;
        copy["seconds_left"] = s.copy->seconds_left ? rounded(*s.copy->seconds_left) : Json(nullptr);
        out["copy"] = std::move(copy);
    }
    out["throttled"] = or_null(s.throttled);
    out["last_verification"] = nullptr;
    if (s.last_verification) {
        auto const& v = *s.last_verification;
        Json last;
        last["id"] = v.id;
        last["verdict"] = model::text(v.verdict);
        last["mode"] = v.mode;
        last["time"] = v.time;
        last["age_seconds"] = rounded(v.age_seconds);
        last["rows"] = v.rows;
        last["differences"] = v.differences;
        last["clean_in_a_row"] = v.clean_in_a_row;
        out["last_verification"] = std::move(last);
    }
    out["loose_keys"] = nullptr;
    if (s.loose) {
        Json loose;
        loose["waiting"] = or_null(s.loose->waiting);
        loose["oldest_seconds"] = rounded(s.loose->oldest_seconds);
        loose["refused"] = s.loose->refused;
        loose["problem"] = or_null(s.loose->problem);
        loose["orphans"] = Json::array();
        for (auto const& orphans : s.loose->orphans)
            loose["orphans"].push_back({{"key", orphans.key}, {"rows", orphans.rows}, {"counted_at", orphans.counted_at}});
        out["loose_keys"] = std::move(loose);
    }
    out["drift"] = s.drift;
    out["unfinished"] = or_null(s.unfinished);
    out["gate"] = gate_json(s.gate);
    out["next"] = s.next;
    out["tables"] = Json::array();
    for (auto const& table : s.tables) {
        Json entry;
        entry["by"] = model::text(table.by);
        entry["source"] = side_json(table.source);
        entry["target"] = side_json(table.target);
        entry["key"] = table.key;
        out["tables"].push_back(std::move(entry));
    }
    return out;
}

} // namespace

std::string text(std::vector<ServiceStatus> const& services, Style style) {
    if (services.empty())
        return "no services yet\n";
    return services.size() == 1 ? one_service(services[0], style) : several_services(services, style);
}

std::string json(std::vector<ServiceStatus> const& services) {
    auto out = document();
    out["services"] = Json::array();
    for (auto const& s : services)
        out["services"].push_back(status_json(s));
    return dump(out);
}

} // namespace pgcarve::report
