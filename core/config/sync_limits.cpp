#include "config/sync_limits.hpp"

#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "config/sync_section.hpp"

namespace pgcarve::config {

std::optional<long long> parse_size(std::string_view text) {
    long long number = 0;
    auto const [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (wrong != std::errc{} || number < 0)
        return std::nullopt;
    std::string_view const unit{end, static_cast<std::size_t>(text.data() + text.size() - end)};
    long long factor = 1;
    for (auto const name : {"", "kB", "MB", "GB", "TB"}) {
        if (unit == name)
            return number > std::numeric_limits<long long>::max() / factor ? std::nullopt : std::optional{number * factor};
        factor *= 1024;
    }
    return std::nullopt;
}

model::SyncLimits read_sync_limits(Section& top) {
    model::SyncLimits limits;
    auto const* const table = top.table("sync");
    if (table == nullptr)
        return limits;
    constexpr int most_workers = 32;
    Section section{top.collected(), *table, "sync"};
    limits.workers = section.count("workers", 1, most_workers).value_or(limits.workers);
    if (auto const written = section.text("max_retained_wal")) {
        if (auto const size = parse_size(*written))
            limits.max_retained_wal = *size;
        else
            section.problem("max_retained_wal", fmt::format("\"{}\" is not a size: write a whole number and a unit (kB, MB, GB, TB), such as \"50GB\"", *written));
    }
    limits.drop_at_wal_limit = section.choice("on_wal_limit", {"pause", "drop"}).value_or(0) == 1;
    section.finish();
    return limits;
}

model::SyncLimits sync_limits_of(std::string_view toml) {
    Collected ignored;
    auto const parsed = toml::parse(toml);
    if (!parsed)
        return {};
    Section top{ignored, parsed.table(), ""};
    return read_sync_limits(top);
}

} // namespace pgcarve::config
