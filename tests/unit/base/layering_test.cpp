// Goal: the folders below core/ depend on each other one way only, and what talks to the outside stays at
// the edge. Method: read every #include in the tree.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace {

namespace fs = std::filesystem;

std::map<std::string, std::set<std::string>> const may_use{
    {"base", {}},
    {"wire", {"base"}},
    {"sql", {"base"}},
    {"model", {"base", "sql"}},
    {"config", {"base", "sql", "model"}},
    {"ddl", {"base", "sql", "model"}},
    {"mirrorgen", {"base", "sql", "model"}},
    {"cutover", {"base", "sql", "model"}},
    {"lint", {"base", "sql", "model"}},
    {"report", {"base", "sql", "model"}},
    {"plan", {"base", "sql", "model", "cutover", "ddl", "mirrorgen"}},
    {"pg", {"base", "sql", "wire"}},
    {"catalog", {"base", "sql", "model", "pg"}},
    {"control", {"base", "sql", "model", "pg", "cutover"}},
    {"mirror", {"base", "sql", "model", "pg", "cutover", "control", "catalog", "mirrorgen"}},
    {"sync", {"base", "wire", "sql", "model", "pg", "cutover", "control", "catalog"}},
    {"audit", {"base", "wire", "sql", "model", "pg", "cutover", "control", "catalog", "sync"}},
    {"verify", {"base", "sql", "model", "pg", "cutover", "control", "catalog"}},
};
std::set<std::string> const pure{"base",      "wire",    "sql",    "model", "config", "ddl",
                                 "mirrorgen", "cutover", "report", "plan",   "lint"};

bool is_one_of(std::string const& header, std::initializer_list<std::string_view> prefixes) {
    return std::any_of(prefixes.begin(), prefixes.end(),
                       [&](std::string_view prefix) { return header.starts_with(prefix); });
}

TEST(Layering, IncludesPointOneWay) {
    std::regex const include{R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])"};
    int seen = 0;
    for (auto const& entry : fs::recursive_directory_iterator{PGCARVE_SOURCE_DIR "/core"}) {
        if (entry.path().extension() != ".hpp" && entry.path().extension() != ".cpp")
            continue;
        auto const folder = fs::relative(entry.path(), PGCARVE_SOURCE_DIR "/core").begin()->string();
        std::ifstream in{entry.path()};
        for (std::string line; std::getline(in, line);) {
            std::smatch found;
            if (!std::regex_search(line, found, include))
                continue;
            ++seen;
            std::string const header = found[2];
            auto const where = entry.path().string() + " includes " + header;
            EXPECT_FALSE(is_one_of(header, {"CLI/", "spdlog/", "pgcarve/"})) << where << ": only cmd/ may";
            if (folder != "pg") {
                EXPECT_FALSE(is_one_of(header, {"libpq", "pqxx", "postgres_ext"}))
                    << where << ": only pg/ may";
            }
            if (pure.contains(folder)) {
                EXPECT_FALSE(
                    is_one_of(header, {"fstream", "filesystem", "iostream", "unistd.h", "sys/", "ctime"}))
                    << where << ": the folder is pure";
            }
            auto const used = header.substr(0, header.find('/'));
            if (found[1] == "\"" && used != folder && may_use.contains(folder)) {
                EXPECT_TRUE(may_use.at(folder).contains(used)) << where << ": against the layering";
            }
        }
    }
    EXPECT_GT(seen, 100) << "the check found the tree";
}

} // namespace
