// Strong types for PostgreSQL's numbers, so that an LSN is never taken for an xid.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgcarve::base {

struct Oid {
    std::uint32_t value = 0;
    auto operator<=>(Oid const&) const = default;
};

struct Xid {
    std::uint64_t value = 0; // with epoch, as pg_current_xact_id() prints it
    auto operator<=>(Xid const&) const = default;
};

// A position in the write-ahead log; text form "16/B374D848".
struct Lsn {
    std::uint64_t value = 0;
    auto operator<=>(Lsn const&) const = default;
    [[nodiscard]] std::string text() const;
    [[nodiscard]] static std::optional<Lsn> parse(std::string_view text);
};

} // namespace pgcarve::base
