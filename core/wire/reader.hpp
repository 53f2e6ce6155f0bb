// Reads the fields of one message of the replication protocol, in network byte order, and refuses what is
// not there: every getter throws base::Error "protocol" when the bytes end too early.
//
// Views that it returns point into the bytes it was given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/types.hpp"
#include "wire/types.hpp"

namespace pgcarve::wire {

class Reader {
public:
    // `what` names the thing that is read, for messages; it must be a literal.
    Reader(std::string_view bytes, std::string_view what)
        : bytes_{bytes}
        , what_{what} {}

    void name(std::string_view what) { what_ = what; }
    [[nodiscard]] std::size_t left() const { return bytes_.size() - at_; }

    std::uint8_t u8() { return static_cast<std::uint8_t>(take(1)[0]); }
    char letter() { return take(1)[0]; }
    std::uint16_t u16() { return static_cast<std::uint16_t>(number<2>()); }
    std::uint32_t u32() { return static_cast<std::uint32_t>(number<4>()); }
    std::uint64_t u64() { return number<8>(); }
    std::int32_t i32() { return static_cast<std::int32_t>(u32()); }

    base::Oid oid() { return {u32()}; }
    TransactionId xid() { return {u32()}; }
    Timestamp time() { return {static_cast<std::int64_t>(u64())}; }
    // A position that may be 0/0, which is none.
    base::Lsn lsn() { return {u64()}; }
    // A position without which the message has no sense.
    base::Lsn set_lsn(std::string_view field);

    // How many things follow: an Int16 or Int32 that must not be negative.
    std::size_t count16(std::string_view field);
    std::size_t count32(std::string_view field);
    std::string_view bytes(std::size_t count) { return take(count); }
    // Up to a zero byte, which is consumed.
    std::string_view text(std::string_view field);
    // A byte that is 0 or 1.
    bool flag(std::string_view field);
    // The rest.
    std::string_view rest() { return take(left()); }

    // Nothing may follow the last field: bytes that we do not know could be rows that we lose.
    void end() const;
    // Throws "protocol" naming what is read and where; the offset is that of the byte read last, or of the next.
    [[noreturn]] void fail(std::string const& why) const;

private:
    std::string_view take(std::size_t count) {
        if (count > left())
            truncated(count);
        auto const taken = bytes_.substr(at_, count);
        at_ += count;
        return taken;
    }

    template <std::size_t size>
    std::uint64_t number() {
        auto const field = take(size);
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < size; ++i)
            value = (value << 8U) | static_cast<std::uint8_t>(field[i]);
        return value;
    }

    [[noreturn]] void truncated(std::size_t wanted) const;

    std::string_view bytes_;
    std::string_view what_;
    std::size_t at_ = 0;
};

} // namespace pgcarve::wire
