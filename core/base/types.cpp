#include "base/types.hpp"

#include <charconv>

#include <fmt/format.h>

namespace pgcarve::base {

std::string Lsn::text() const { return fmt::format("{:X}/{:X}", value >> 32U, value & 0xFFFFFFFFU); }

std::optional<Lsn> Lsn::parse(std::string_view text) {
    auto const slash = text.find('/');
    if (slash == std::string_view::npos)
        return std::nullopt;
    auto half = [](std::string_view part) -> std::optional<std::uint64_t> {
        std::uint32_t n = 0;
        auto const [end, failed] = std::from_chars(part.data(), part.data() + part.size(), n, 16);
        if (failed != std::errc{} || end != part.data() + part.size())
            return std::nullopt;
        return n;
    };
    auto const high = half(text.substr(0, slash));
    auto const low = half(text.substr(slash + 1));
    if (!high || !low)
        return std::nullopt;
    return Lsn{(*high << 32U) | *low};
}

} // namespace pgcarve::base
