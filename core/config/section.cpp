#include "config/section.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/nearest.hpp"

namespace pgcarve::config {

namespace {

std::string_view type_name(toml::node const& node) {
    switch (node.type()) {
    case toml::node_type::table:
        return "a table";
    case toml::node_type::array:
        return "an array";
    case toml::node_type::string:
        return "a text";
    case toml::node_type::integer:
        return "a whole number";
    case toml::node_type::floating_point:
        return "a number";
    case toml::node_type::boolean:
        return "true or false";
    default:
        return "a date or time";
    }
}

int line_of(toml::source_region const& region) {
    return static_cast<int>(region.begin.line);
}

bool is_bare(std::string_view key) {
    auto const plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
               c == '-';
    };
    return !key.empty() && std::ranges::all_of(key, plain);
}

std::string quoted_words(std::vector<std::string> const& words) {
    std::string out;
    for (std::size_t i = 0; i < words.size(); ++i)
        out += fmt::format("{}\"{}\"", i == 0 ? "" : i + 1 == words.size() ? " or " : ", ", words[i]);
    return out;
}

// Where a key that stands in the wrong table belongs.
std::string_view home_of(std::string_view key) {
    struct Home {
        std::string_view key;
        std::string_view home;
    };
    static constexpr Home homes[] = {
        {"dsn", "[shared] or [service.NAME.database]"},
        {"replica_dsn", "[shared]"},
        {"tables", "[service.NAME] or [reference]"},
        {"role", "[service.NAME]"},
        {"create_role", "[service.NAME]"},
        {"dual_write", "[service.NAME]"},
        {"strategy", "[service.NAME]"},
        {"legacy", "[service.NAME]"},
        {"window", "[defaults] or [service.NAME]"},
        {"clean_runs", "[defaults] or [service.NAME]"},
        {"max_lag", "[defaults] or [service.NAME]"},
        {"max_write_block", "[defaults] or [service.NAME]"},
        {"max_verification_age", "[defaults] or [service.NAME]"},
        {"max_transaction_age", "[defaults] or [service.NAME]"},
        {"hold", "[defaults] or [service.NAME]"},
        {"max_replica_lag", "[throttle]"},
        {"max_active_sessions", "[throttle]"},
        {"max_lock_waiters", "[throttle]"},
        {"chunk_time", "[throttle]"},
        {"nice", "[throttle]"},
        {"nice_ratio", "[verify]"},
        {"workers", "[sync]"},
        {"max_retained_wal", "[sync]"},
        {"max_touched", "[sync]"},
        {"on_wal_limit", "[sync]"},
        {"on_cutover", "[hooks]"},
        {"on_rollback", "[hooks]"},
        {"foreign_keys", "[service.NAME.foreign_keys]"},
        {"database", "[service.NAME.database]"},
        {"pgbouncer", "[pgbouncer] or [service.NAME.pgbouncer]"},
        {"migrations", "[service.NAME]"},
        {"unowned", "[lint]"},
        {"severity", "[lint.severity]"},
        {"accept", "[[lint.accept]]"},
    };
    for (auto const& [name, home] : homes) {
        if (name == key)
            return home;
    }
    return {};
}

} // namespace

std::string key_path(std::string_view path, std::string_view key) {
    auto const shown = is_bare(key) ? std::string{key} : fmt::format("\"{}\"", key);
    return path.empty() ? shown : fmt::format("{}.{}", path, shown);
}

model::Where Section::where(std::string_view key) const {
    for (auto const& [name, node] : table_) {
        if (!key.empty() && name.str() == key)
            return {collected_.file, line_of(name.source()), key_path(path_, key)};
    }
    return {collected_.file, line_of(table_.source()), key.empty() ? path_ : key_path(path_, key)};
}

void Section::problem(std::string_view key, std::string message) {
    collected_.problems.push_back({where(key), std::move(message)});
}

void Section::warning(std::string_view key, std::string message) {
    collected_.warnings.push_back({where(key), std::move(message)});
}

toml::node const* Section::ask(std::string_view key) {
    asked_.emplace_back(key);
    return table_.get(key);
}

void Section::wrong_type(std::string_view key, std::string_view wanted, toml::node const& found) {
    problem(key, fmt::format("must be {}, not {}", wanted, type_name(found)));
}

std::optional<std::string> Section::any_text(std::string_view key) {
    auto const* const node = ask(key);
    if (node == nullptr)
        return std::nullopt;
    if (auto const* const value = node->as_string())
        return value->get();
    wrong_type(key, "a text in quotes", *node);
    return std::nullopt;
}

std::optional<std::string> Section::text(std::string_view key) {
    auto value = any_text(key);
    if (value && value->empty()) {
        problem(key, "must not be empty");
        return std::nullopt;
    }
    return value;
}

std::optional<std::string> Section::name(std::string_view key) {
    constexpr std::size_t max_name_bytes = 63;
    auto value = text(key);
    if (!value)
        return std::nullopt;
    if (value->size() > max_name_bytes) {
        problem(key, fmt::format("has {} bytes, PostgreSQL's names have at most {}", value->size(),
                                 max_name_bytes));
        return std::nullopt;
    }
    if (value->find('\0') != std::string::npos) {
        problem(key, "must not hold a zero byte");
        return std::nullopt;
    }
    return value;
}

std::optional<base::Millis> Section::duration(std::string_view key, base::Millis least) {
    auto const* const node = ask(key);
    if (node == nullptr)
        return std::nullopt;
    auto const* const written = node->as_string();
    if (written == nullptr) {
        wrong_type(key, "a duration in quotes such as \"45s\", \"10m\", \"6h\" or \"28d\"", *node);
        return std::nullopt;
    }
    auto const value = base::parse_duration(written->get());
    if (!value) {
        problem(key,
                fmt::format("\"{}\" is not a duration: write a whole number and a unit (ms, s, m, h, d), "
                            "such as \"45s\" or \"28d\"",
                            written->get()));
        return std::nullopt;
    }
    if (*value < least) {
        problem(key,
                fmt::format("{} is too short: at least {}", written->get(), base::format_duration(least)));
        return std::nullopt;
    }
    return value;
}

std::optional<int> Section::count(std::string_view key, int least, int most) {
    auto const* const node = ask(key);
    if (node == nullptr)
        return std::nullopt;
    auto const* const value = node->as_integer();
    if (value == nullptr) {
        wrong_type(key, "a whole number", *node);
        return std::nullopt;
    }
    if (value->get() < least || value->get() > most) {
        problem(key, fmt::format("{} is out of range: {} to {}", value->get(), least, most));
        return std::nullopt;
    }
    return static_cast<int>(value->get());
}

std::optional<double> Section::ratio(std::string_view key, double most) {
    auto const* const node = ask(key);
    if (node == nullptr)
        return std::nullopt;
    if (!node->is_number()) {
        wrong_type(key, "a number", *node);
        return std::nullopt;
    }
    auto const value = node->value<double>();
    if (!value || !std::isfinite(*value) || *value < 0 || *value > most) {
        problem(key, fmt::format("is out of range: 0 to {}", most));
        return std::nullopt;
    }
    return value;
}

std::optional<bool> Section::flag(std::string_view key) {
    auto const* const node = ask(key);
    if (node == nullptr)
        return std::nullopt;
    if (auto const* const value = node->as_boolean())
        return value->get();
    wrong_type(key, "true or false", *node);
    return std::nullopt;
}

std::optional<std::size_t> Section::choice(std::string_view key, std::vector<std::string> const& words) {
    auto const value = text(key);
    if (!value)
        return std::nullopt;
    auto const at = std::ranges::find(words, *value);
    if (at != words.end())
        return static_cast<std::size_t>(at - words.begin());
    problem(key, fmt::format("\"{}\" is unknown: write {}", *value, quoted_words(words)));
    return std::nullopt;
}

toml::table const* Section::table(std::string_view key) {
    auto const* const node = ask(key);
    if (node == nullptr)
        return nullptr;
    if (auto const* const found = node->as_table())
        return found;
    problem(key, fmt::format("must be a table ([{}]), not {}", key_path(path_, key), type_name(*node)));
    return nullptr;
}

std::optional<std::vector<Section::Item>> Section::list(std::string_view key) {
    auto const* const node = ask(key);
    if (node == nullptr)
        return std::nullopt;
    auto const* const array = node->as_array();
    if (array == nullptr) {
        wrong_type(key, "an array of texts such as [\"orders\", \"order_*\"]", *node);
        return std::nullopt;
    }
    std::vector<Item> items;
    std::size_t index = 0;
    for (auto const& element : *array) {
        model::Where const at{collected_.file, line_of(element.source()),
                              fmt::format("{}[{}]", key_path(path_, key), index++)};
        if (auto const* const value = element.as_string())
            items.push_back({value->get(), at});
        else
            collected_.problems.push_back(
                {at, fmt::format("must be a text in quotes, not {}", type_name(element))});
    }
    return items;
}

std::vector<std::pair<Section::Item, std::string>> Section::texts() {
    std::vector<std::pair<Item, std::string>> found;
    for (auto const& [key, node] : table_) {
        if (auto const value = text(key.str()))
            found.push_back({Item{std::string{key.str()}, where(key.str())}, *value});
    }
    return found;
}

std::vector<std::pair<std::string, toml::table const*>> Section::tables() {
    std::vector<std::pair<std::string, toml::table const*>> found;
    for (auto const& [key, node] : table_) {
        if (auto const* const inner = table(key.str()))
            found.emplace_back(key.str(), inner);
    }
    return found;
}

std::vector<toml::table const*> Section::array_of_tables(std::string_view key) {
    std::vector<toml::table const*> found;
    auto const* const node = ask(key);
    if (node == nullptr)
        return found;
    auto const* const array = node->as_array();
    for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
        if (auto const* const inner = array->get(i)->as_table())
            found.push_back(inner);
    }
    if (array == nullptr || found.size() != array->size())
        problem(key, fmt::format("must be tables, each under [[{}]]", key_path(path_, key)));
    return found;
}

void Section::finish() {
    for (auto const& [key, node] : table_) {
        if (std::ranges::find(asked_, key.str()) != asked_.end())
            continue;
        std::string message = "unknown key";
        auto const home = home_of(key.str());
        if (!home.empty())
            message += fmt::format(": it belongs in {}", home);
        else if (auto const meant = base::nearest(key.str(), asked_))
            message += fmt::format("; did you mean {}?", *meant);
        problem(key.str(), message);
    }
}

} // namespace pgcarve::config
