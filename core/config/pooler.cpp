#include "config/pooler.hpp"

#include "config/pooler_section.hpp"

namespace pgcarve::config {

std::optional<model::PoolerSettings> read_pooler(Section& parent) {
    auto const* const table = parent.table("pgbouncer");
    if (table == nullptr)
        return std::nullopt;
    Section section{parent.collected(), *table, key_path(parent.path(), "pgbouncer")};
    model::PoolerSettings settings;
    for (auto const& [key, value] : {std::pair{"dsn", &settings.dsn}, std::pair{"database", &settings.database}}) {
        if (!section.has(key))
            section.problem("", std::string{key} + " is missing");
        *value = section.text(key).value_or("");
    }
    section.finish();
    return settings;
}

std::optional<model::PoolerSettings> pooler_of(std::string_view toml, std::string const& service) {
    Collected ignored;
    auto const parsed = toml::parse(toml);
    if (!parsed)
        return std::nullopt;
    Section top{ignored, parsed.table(), ""};
    if (auto const* const services = top.table("service")) {
        if (auto const* const one = services->get(service); one != nullptr && one->is_table()) {
            Section section{ignored, *one->as_table(), "service"};
            if (auto own = read_pooler(section))
                return own;
        }
    }
    return read_pooler(top);
}

} // namespace pgcarve::config
