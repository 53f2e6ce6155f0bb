// The numbers of the replication protocol that base has no type for.
#pragma once

#include <compare>
#include <cstdint>

namespace pgcarve::wire {

// A transaction as the protocol names it: 32 bits without an epoch, so it is no base::Xid. 0 is no transaction.
struct TransactionId {
    std::uint32_t value = 0;
    auto operator<=>(TransactionId const&) const = default;
};

// Microseconds since 2000-01-01 00:00:00 UTC, PostgreSQL's epoch.
struct Timestamp {
    std::int64_t micros = 0;
    auto operator<=>(Timestamp const&) const = default;

    static constexpr std::int64_t epoch_offset = 946'684'800'000'000; // from 1970 to 2000
    // Only for times that a clock has shown: the ends of int64 overflow.
    [[nodiscard]] constexpr std::int64_t unix_micros() const { return micros + epoch_offset; }
    [[nodiscard]] static constexpr Timestamp from_unix_micros(std::int64_t value) {
        return Timestamp{value - epoch_offset};
    }
};

} // namespace pgcarve::wire
