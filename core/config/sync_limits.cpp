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
    constexpr long long least_touched = 64LL << 10U; // less is a forgotten unit
    Section section{top.collected(), *table, "sync"};
    limits.workers = section.count("workers", 1, most_workers).value_or(limits.workers);
    auto const size_of = [&](std::string_view key, std::string_view example) -> std::optional<long long> {
        auto const written = section.text(key);
        auto const size = written ? parse_size(*written) : std::nullopt;
        if (written && !size)
            section.problem(key, fmt::format("\"{}\" is not a size: write a whole number and a unit (kB, MB, GB, TB), such as \"{}\"", *written, example));
        return size;
    };
    limits.max_retained_wal = size_of("max_retained_wal", "50GB").value_or(limits.max_retained_wal);
    if (auto const size = size_of("max_touched", "1GB")) {
        if (*size != 0 && *size < least_touched)
            section.problem("max_touched", "it is too little: write 64kB or more, such as \"1GB\"; 0 is no limit");
        else
            limits.max_touched = *size;
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
