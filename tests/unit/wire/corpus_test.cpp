// Goal: what the fuzzer starts from stays understood: streams of real servers of every kind, and what they turn into when
// bytes are lost or changed. Method: each file of tests/fuzz/corpus through the fuzzer's door, whole, cut off and with bytes
// changed, always the same ones.
#include "../../fuzz/decoder_fuzz.cpp"

#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include <gtest/gtest.h>

namespace {

std::vector<std::string> corpus() {
    std::vector<std::filesystem::path> files;
    for (auto const& entry : std::filesystem::directory_iterator{PGCARVE_SOURCE_DIR "/tests/fuzz/corpus"})
        files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::vector<std::string> all;
    for (auto const& file : files) {
        std::ifstream in{file, std::ios::binary};
        all.emplace_back(std::istreambuf_iterator<char>{in}, std::istreambuf_iterator<char>{});
    }
    return all;
}

void feed(std::string const& bytes) { LLVMFuzzerTestOneInput(reinterpret_cast<std::uint8_t const*>(bytes.data()), bytes.size()); }

TEST(DecoderCorpus, RealStreamsHoldEveryKind) {
    std::set<std::size_t> kinds;
    std::set<int> terms;
    for (auto const& seed : corpus()) {
        ASSERT_FALSE(seed.empty());
        terms.insert(seed[0]);
        wire::Decoder decoder{chosen(static_cast<std::uint8_t>(seed[0]))};
        for (std::string_view rest{seed.data() + 1, seed.size() - 1}; !rest.empty();) {
            auto const piece = rest.substr(1, static_cast<unsigned char>(rest.front()));
            rest.remove_prefix(1 + piece.size());
            kinds.insert(decoder.decode(piece).index());
        }
        EXPECT_FALSE(decoder.in_transaction());
        feed(seed);
    }
    EXPECT_EQ(kinds.size(), std::variant_size_v<wire::Message>);
    EXPECT_EQ(terms.size(), 4U); // protocol 1 to 4
}

TEST(DecoderCorpus, DamagedStreamsAreErrorsAtMost) {
    std::mt19937 random{7};
    for (auto const& seed : corpus()) {
        for (std::size_t length = 0; length < seed.size(); length += 7)
            feed(seed.substr(0, length));
        for (int round = 0; round < 400; ++round) {
            auto changed = seed;
            for (int change = 0; change <= round % 4; ++change)
                changed[random() % changed.size()] = static_cast<char>(random());
            feed(changed);
        }
    }
}

} // namespace
