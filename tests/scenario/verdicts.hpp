// What `verify --format json` says, in short.
#pragma once

#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace pgcarve::test {

// Tables that differ, with rows that are missing, extra and different: "public.t 1/0/2 ".
inline std::string differences(nlohmann::json const& verification) {
    std::string all;
    for (auto const& table : verification["tables"]) {
        auto const missing = table["missing"].get<int>();
        auto const extra = table["extra"].get<int>();
        auto const different = table["different"].get<int>();
        if (missing + extra + different > 0)
            all += fmt::format("{} {}/{}/{} ", table["source"].get<std::string>(), missing, extra, different);
    }
    return all;
}

} // namespace pgcarve::test
