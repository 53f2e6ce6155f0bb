#include "base/duration.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace pgcarve::base {

namespace {

struct Unit {
    std::string_view name;
    std::int64_t millis;
};
constexpr std::array<Unit, 5> units{{{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

} // namespace

std::optional<Millis> parse_duration(std::string_view text) {
    std::int64_t number = 0;
    auto const [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc{} || number < 0)
        return std::nullopt;
    std::string_view const name{end, static_cast<std::size_t>(text.data() + text.size() - end)};
    for (auto const& unit : units) {
        if (unit.name == name) {
            if (number > std::numeric_limits<std::int64_t>::max() / unit.millis)
                return std::nullopt;
            return Millis{number * unit.millis};
        }
    }
    return std::nullopt;
}

std::string format_duration(Millis value) {
    if (value.count() == 0)
        return "0s";
    for (auto const& unit : units) {
        if (value.count() % unit.millis == 0)
            return fmt::format("{}{}", value.count() / unit.millis, unit.name);
    }
    return fmt::format("{}ms", value.count());
}

std::string describe_duration(Millis value) {
    if (value.count() < 0)
        return "-" + describe_duration(-value);
    for (std::size_t i = 0; i + 1 < units.size(); ++i) {
        auto const whole = value.count() / units[i].millis;
        if (whole == 0)
            continue;
        auto const rest = (value.count() % units[i].millis) / units[i + 1].millis;
        if (rest == 0 || units[i].name == "s")
            return fmt::format("{}{}", whole, units[i].name);
        return fmt::format("{}{} {}{}", whole, units[i].name, rest, units[i + 1].name);
    }
    return fmt::format("{}ms", value.count());
}

} // namespace pgcarve::base
