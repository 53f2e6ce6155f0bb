#include "run/stream/patience.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

namespace pgcarve::run {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::string_view out_of_memory = "53200";
constexpr std::string_view too_many_connections = "53300";
constexpr base::Millis slice{100};
constexpr base::Millis longest{30'000};

} // namespace

bool passes(base::Error const& e) {
    // stream-busy: the server has not found out yet that our last connection is gone.
    static constexpr auto codes = {"server-lost", "unreachable", "in-doubt", "stream-busy", "disk-full"};
    if (auto const* const refused = dynamic_cast<pg::SqlError const*>(&e)) {
        static constexpr auto states = {pg::sqlstate::disk_full, out_of_memory, too_many_connections,
                                        pg::sqlstate::lock_not_available, pg::sqlstate::deadlock_detected};
        return std::ranges::any_of(states, [&](std::string_view state) { return refused->sqlstate() == state; });
    }
    return std::ranges::any_of(codes, [&](char const* code) { return e.code() == code; });
}

void Patience::wait(base::Error const& why, std::function<bool()> const& meanwhile) {
    auto const* const refused = dynamic_cast<pg::SqlError const*>(&why);
    bool const full = why.code() == "disk-full" || (refused != nullptr && refused->sqlstate() == pg::sqlstate::disk_full);
    context_.events.warn(fmt::format("{}{}: trying again in {}s", full ? "a server has no room left: " : "", why.message(), pause_.count() / 1000));
    for (auto const end = Clock::now() + pause_; Clock::now() < end;) {
        if (context_.interrupt.wait_for(slice) || meanwhile())
            break;
    }
    pause_ = std::min(pause_ * 2, longest);
}

} // namespace pgcarve::run
