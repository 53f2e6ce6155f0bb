#include "wire/frame.hpp"

#include <cstddef>
#include <string>

#include <fmt/format.h>

#include "wire/reader.hpp"

namespace pgcarve::wire {

Frame parse_frame(std::string_view bytes) {
    Reader in{bytes, "an empty frame"};
    switch (char const kind = in.letter()) {
    case 'w': {
        in.name("XLogData");
        XLogData data;
        data.start = in.lsn();
        data.end = in.lsn();
        data.sent = in.time();
        data.payload = in.rest();
        return data;
    }
    case 'k': {
        in.name("Primary keepalive");
        Keepalive keepalive;
        keepalive.end = in.lsn();
        keepalive.sent = in.time();
        keepalive.reply_requested = in.flag("the request for a reply");
        in.end();
        return keepalive;
    }
    default:
        in.name("a frame");
        in.fail(fmt::format("its kind 0x{:02X} is unknown", static_cast<unsigned char>(kind)));
    }
}

std::array<char, 34> encode(StandbyStatus const& status) {
    std::array<char, 34> bytes{};
    std::size_t at = 0;
    bytes[at++] = 'r';
    for (auto const value : {status.written.value, status.flushed.value, status.applied.value,
                             static_cast<std::uint64_t>(status.time.micros)}) {
        for (int shift = 56; shift >= 0; shift -= 8)
            bytes[at++] = static_cast<char>((value >> static_cast<unsigned>(shift)) & 0xFFU);
    }
    bytes[at] = status.reply_requested ? '\1' : '\0';
    return bytes;
}

} // namespace pgcarve::wire
