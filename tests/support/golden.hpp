// Compares a text with a file in the tree. PGCARVE_UPDATE_GOLDEN=1 writes the file instead, and fails, so
// that an update is never taken for a pass. Header-only: unit tests link nothing for it.
#pragma once

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace pgcarve::test {

// `path` is relative to tests/.
inline void expect_golden(std::string const& path, std::string const& actual) {
    auto const file = std::string{PGCARVE_SOURCE_DIR "/tests/"} + path;
    if (std::getenv("PGCARVE_UPDATE_GOLDEN") != nullptr) {
        std::ofstream{file, std::ios::binary} << actual;
        ADD_FAILURE() << "wrote " << file << ": look at it, then run without PGCARVE_UPDATE_GOLDEN";
        return;
    }
    std::ifstream in{file, std::ios::binary};
    ASSERT_TRUE(in) << file << " is missing; PGCARVE_UPDATE_GOLDEN=1 writes it";
    std::ostringstream expected;
    expected << in.rdbuf();
    ASSERT_FALSE(expected.str().empty()) << file << " is empty";
    EXPECT_EQ(actual, expected.str()) << file;
}

} // namespace pgcarve::test
