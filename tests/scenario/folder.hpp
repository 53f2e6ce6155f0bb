// An empty folder for each test, files in it, and commands run there.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "support/server.hpp"

namespace pgcarve::test {

class InFolder : public testing::Test {
protected:
    void SetUp() override {
        folder_ = std::filesystem::temp_directory_path() / ("pgcarve-lint-" + std::to_string(getpid()));
        std::filesystem::remove_all(folder_);
        std::filesystem::create_directories(folder_);
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    void write(std::string const& name, std::string const& text) const {
        std::filesystem::create_directories((folder_ / name).parent_path());
        std::ofstream{folder_ / name} << text;
    }
    [[nodiscard]] Output shell(std::string const& command) const { return run_command("cd '" + folder_.string() + "' && " + command); }

    std::filesystem::path folder_;
};

} // namespace pgcarve::test
