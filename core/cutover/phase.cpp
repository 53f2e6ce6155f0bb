#include "cutover/phase.hpp"

#include <utility>

namespace pgcarve::cutover {

namespace {

constexpr std::array<std::pair<Phase, std::string_view>, 8> phase_names{{
    {Phase::planned, "planned"},
    {Phase::backfilling, "backfilling"},
    {Phase::dual_writing, "dual_writing"},
    {Phase::schema_live, "schema_live"},
    {Phase::copying, "copying"},
    {Phase::syncing, "syncing"},
    {Phase::database_live, "database_live"},
    {Phase::completed, "completed"},
}};
constexpr std::array<std::pair<Event, std::string_view>, 8> event_names{{
    {Event::split, "split"},
    {Event::backfilled, "backfilled"},
    {Event::sync, "sync"},
    {Event::copied, "copied"},
    {Event::cutover, "cutover"},
    {Event::rollback, "rollback"},
    {Event::complete, "complete"},
    {Event::cancel, "cancel"},
}};
constexpr std::array<std::pair<Authority, std::string_view>, 3> authority_names{{
    {Authority::shared, "shared"},
    {Authority::schema, "schema"},
    {Authority::database, "database"},
}};

template <typename Names, typename Value>
std::string_view name_of(Names const& names, Value value) {
    for (auto const& [v, name] : names) {
        if (v == value)
            return name;
    }
    return "?";
}

template <typename Value, typename Names>
std::optional<Value> value_of(Names const& names, std::string_view wanted) {
    for (auto const& [v, name] : names) {
        if (name == wanted)
            return v;
    }
    return std::nullopt;
}

} // namespace

std::string_view text(Phase v) { return name_of(phase_names, v); }
std::string_view text(Event v) { return name_of(event_names, v); }
std::string_view text(Authority v) { return name_of(authority_names, v); }
std::optional<Phase> parse_phase(std::string_view wanted) { return value_of<Phase>(phase_names, wanted); }
std::optional<Authority> parse_authority(std::string_view wanted) {
    return value_of<Authority>(authority_names, wanted);
}

} // namespace pgcarve::cutover
