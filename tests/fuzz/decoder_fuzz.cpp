// libFuzzer's door to the decoder and to the frames: whatever comes in, it is a message or base::Error "protocol".
//
// The first byte chooses what was negotiated, the rest is a conversation: pieces of a byte of length and so many bytes,
// each one payload. So the fuzzer can also find the ways between transactions and stream blocks.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.hpp"
#include "wire/decoder.hpp"
#include "wire/frame.hpp"
#include "wire/relations.hpp"

namespace {

using namespace pgcarve;

template <typename Parse>
void only_protocol_errors(Parse parse) {
    try {
        parse();
    } catch (base::Error const& e) {
        if (e.code() != "protocol")
            std::abort();
    }
}

wire::Negotiated chosen(std::uint8_t choice) {
    switch (choice % 4) {
    case 0:
        return {};
    case 1:
        return {.protocol = 2, .streaming = wire::Streaming::on};
    case 2:
        return {.protocol = 3, .streaming = wire::Streaming::on, .two_phase = true};
    default:
        return {.protocol = 4, .streaming = wire::Streaming::parallel, .two_phase = true, .binary = true};
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    if (size == 0)
        return 0;
    wire::Decoder decoder{chosen(data[0])};
    wire::Relations relations;
    std::string_view rest{reinterpret_cast<char const*>(data) + 1, size - 1};
    only_protocol_errors([&] { (void)wire::parse_frame(rest); });
    while (!rest.empty()) {
        auto const piece = rest.substr(1, static_cast<unsigned char>(rest.front()));
        rest.remove_prefix(1 + piece.size());
        only_protocol_errors([&] {
            auto const message = decoder.decode(piece);
            if (auto const* const relation = std::get_if<wire::Relation>(&message))
                relations.replace(*relation, decoder.stream());
            if (auto const* const insert = std::get_if<wire::Insert>(&message))
                relations.find(insert->relation, decoder.stream())->check(insert->row);
            if (auto const* const commit = std::get_if<wire::StreamCommit>(&message))
                relations.stream_committed(commit->xid);
        });
    }
    return 0;
}
