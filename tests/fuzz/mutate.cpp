// Stands in for libFuzzer where there is no clang: feeds LLVMFuzzerTestOneInput() with the corpus, damaged at random, for some
// seconds. It does not see which branches an input takes; the sanitizers that it is built with see the rest.
//
//   mutate SECONDS FOLDER [SEED]
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

namespace {

std::mt19937_64 source;

std::size_t below(std::size_t limit) { return source() % limit; }

void damage(std::string& bytes, std::vector<std::string> const& corpus) {
    auto const at = below(bytes.size());
    switch (below(6)) {
    case 0:
        bytes[at] = static_cast<char>(source());
        break;
    case 1:
        bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ (1U << below(8)));
        break;
    case 2:
        bytes.erase(at, 1 + below(8));
        break;
    case 3:
        bytes.insert(at, bytes.substr(below(bytes.size()), below(40)));
        break;
    case 4: { // from another stream
        auto const& other = corpus[below(corpus.size())];
        bytes.replace(at, below(40), other.substr(below(other.size()), below(40)));
        break;
    }
    default: // numbers that are at an edge
        for (std::size_t i = at; i < bytes.size() && i < at + 4; ++i)
            bytes[i] = below(2) == 0 ? '\xff' : '\0';
    }
    if (bytes.empty())
        bytes = std::string(1, '\3');
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 3)
        return 2;
    std::vector<std::string> corpus;
    for (auto const& file : std::filesystem::directory_iterator{argv[2]}) {
        std::ifstream in{file.path(), std::ios::binary};
        corpus.emplace_back(std::istreambuf_iterator<char>{in}, std::istreambuf_iterator<char>{});
    }
    auto const seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : std::random_device{}();
    source.seed(seed);
    auto const end = std::chrono::steady_clock::now() + std::chrono::seconds{std::atoi(argv[1])};
    long long runs = 0;
    for (; std::chrono::steady_clock::now() < end; ++runs) {
        auto bytes = corpus[below(corpus.size())];
        for (auto changes = 1 + below(8); changes > 0; --changes)
            damage(bytes, corpus);
        LLVMFuzzerTestOneInput(reinterpret_cast<std::uint8_t const*>(bytes.data()), bytes.size());
    }
    std::printf("%lld inputs from seed %llu, no failure\n", runs, static_cast<unsigned long long>(seed));
}
