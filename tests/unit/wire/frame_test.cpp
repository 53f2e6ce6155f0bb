// Goal: the frames around the messages are read and written byte for byte as PostgreSQL's documentation, "Streaming
// Replication Protocol", describes them.
#include <gtest/gtest.h>

#include <string>

#include "base/error.hpp"
#include "encode.hpp"
#include "wire/frame.hpp"

namespace {

using namespace pgcarve;
using namespace pgcarve::wire;
using namespace pgcarve::wire::test;
using namespace std::string_literals;

std::string error_of(std::string const& bytes) {
    try {
        (void)parse_frame(bytes);
    } catch (base::Error const& e) {
        EXPECT_EQ(e.code(), "protocol");
        return e.message();
    }
    return "no error";
}

TEST(Frame, XLogData) {
    auto const bytes = "w" + i64(0x16'B374D848) + i64(0x16'B374D878) + i64(0xFFFFFFFFFFFFFFFE) + "payload";
    auto const frame = parse_frame(bytes);
    auto const& data = std::get<XLogData>(frame);
    EXPECT_EQ(data.start.text(), "16/B374D848");
    EXPECT_EQ(data.end.text(), "16/B374D878");
    EXPECT_EQ(data.sent.micros, -2);
    EXPECT_EQ(data.payload, "payload");
    EXPECT_EQ(data.payload.data(), bytes.data() + 25);
    for (std::size_t size = 0; size < 25; ++size)
        EXPECT_NE(error_of(bytes.substr(0, size)), "no error") << size;
}

TEST(Frame, Keepalive) {
    for (bool const reply : {false, true}) {
        auto const bytes = "k" + i64(0x16'B374D848) + i64(77) + i8(reply ? 1 : 0);
        auto const frame = parse_frame(bytes);
        auto const& keepalive = std::get<Keepalive>(frame);
        EXPECT_EQ(keepalive.end.text(), "16/B374D848");
        EXPECT_EQ(keepalive.sent.micros, 77);
        EXPECT_EQ(keepalive.reply_requested, reply);
        for (std::size_t size = 0; size < bytes.size(); ++size)
            EXPECT_NE(error_of(bytes.substr(0, size)), "no error") << size;
        EXPECT_NE(error_of(bytes + '\0').find("Primary keepalive, at byte 18 of 19: 1 bytes too many"), std::string::npos);
    }
    EXPECT_NE(error_of("k" + i64(1) + i64(1) + i8(2)).find("is 2, neither 0 nor 1"), std::string::npos);
}

TEST(Frame, UnknownKindsAreErrors) {
    for (int kind = 0; kind < 256; ++kind) {
        if (kind != 'w' && kind != 'k') {
            EXPECT_NE(error_of(i8(static_cast<unsigned>(kind)) + i64(1) + i64(1) + i64(1)).find("is unknown"), std::string::npos);
        }
    }
}

TEST(Frame, StandbyStatus) {
    auto const bytes = wire::encode(StandbyStatus{{0x16'B374D878}, {0x16'B374D848}, {0x16'B374D850}, {-2}, true});
    EXPECT_EQ(std::string(bytes.begin(), bytes.end()),
              "r\x00\x00\x00\x16\xB3\x74\xD8\x78\x00\x00\x00\x16\xB3\x74\xD8\x48\x00\x00\x00\x16\xB3\x74\xD8\x50"
              "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE\x01"s);
    EXPECT_EQ(wire::encode(StandbyStatus{}), (std::array<char, 34>{'r'}));
}

} // namespace
