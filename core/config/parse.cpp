#include "config/parse.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include <fmt/format.h>

#include "base/error.hpp"
#include "config/names.hpp"
#include "config/pooler_section.hpp"
#include "config/sync_section.hpp"
#include "config/section.hpp"

namespace pgcarve::config {

namespace {

using namespace std::chrono_literals;

constexpr base::Millis none_is_fine{0};
constexpr base::Millis some{1};

void read_limits(Section& section, model::Limits& limits) {
    auto const set = [&](std::string_view key, base::Millis least, base::Millis& into) {
        into = section.duration(key, least).value_or(into);
    };
    set("window", none_is_fine, limits.window);
    limits.clean_runs = section.count("clean_runs", 1, 1000).value_or(limits.clean_runs);
    set("max_lag", some, limits.max_lag);
    set("max_write_block", some, limits.max_write_block);
    set("max_verification_age", some, limits.max_verification_age);
    set("max_transaction_age", some, limits.max_transaction_age);
    set("hold", none_is_fine, limits.hold);
}

// Connection strings may be typed with a password, and the file is meant for a repository.
std::string read_dsn(Section& section, std::string_view key = "dsn") {
    auto dsn = section.any_text(key).value_or("");
    if (holds_secret(dsn))
        section.warning(
            key, "holds a password: keep it out of this file (PGPASSFILE, ~/.pgpass or a service file)");
    return dsn;
}

void refuse_reserved_schema(Section& section, std::string_view key, std::string const& schema) {
    if (schema.starts_with("pg_") || schema == "information_schema" || schema == "pgcarve")
        section.problem(key, fmt::format("\"{}\" is reserved", schema));
}

std::vector<model::TablePattern> patterns_of(std::vector<Section::Item> const& items, Collected& collected,
                                             std::string const& shared_schema) {
    std::vector<model::TablePattern> patterns;
    for (auto const& item : items) {
        auto parsed = parse_pattern(item.text, shared_schema);
        if (auto const* const bad = std::get_if<BadName>(&parsed)) {
            collected.problems.push_back({item.where, fmt::format("\"{}\": {}", item.text, bad->message)});
            continue;
        }
        auto& pattern = std::get<model::TablePattern>(parsed);
        pattern.where = item.where;
        patterns.push_back(std::move(pattern));
    }
    return patterns;
}

std::vector<model::TablePattern> read_patterns(Section& section, Collected& collected,
                                               std::string const& shared_schema) {
    auto const problems_before = collected.problems.size();
    auto const items = section.list("tables");
    if (!items) {
        if (!section.has("tables"))
            section.problem("tables", "is missing: list the tables, such as [\"orders\", \"order_*\"]");
        return {};
    }
    auto patterns = patterns_of(*items, collected, shared_schema);
    if (collected.problems.size() != problems_before)
        return patterns;
    if (items->empty())
        section.problem("tables", "is empty: list at least one table");
    else if (std::ranges::all_of(patterns, &model::TablePattern::exclude))
        section.problem("tables", "only excludes: list at least one table without !");
    return patterns;
}

bool is_day(std::string_view text) {
    if (text.size() != 10 || text[4] != '-' || text[7] != '-')
        return false;
    int numbers[3] = {0, 0, 0};
    std::size_t part = 0;
    for (char const c : text) {
        if (c == '-')
            ++part;
        else if (c < '0' || c > '9' || part > 2)
            return false;
        else
            numbers[part] = numbers[part] * 10 + (c - '0');
    }
    return std::chrono::year_month_day{std::chrono::year{numbers[0]},
                                       std::chrono::month{static_cast<unsigned>(numbers[1])},
                                       std::chrono::day{static_cast<unsigned>(numbers[2])}}
        .ok();
}

class FileReader {
public:
    explicit FileReader(std::string const& file) {
        collected_.file = file;
        parsed_.map.file = file;
    }

    Parsed read(std::string_view toml) {
        auto const result = toml::parse(toml, std::string_view{collected_.file});
        if (result.failed()) {
            collected_.problems.push_back(
                {{collected_.file, static_cast<int>(result.error().source().begin.line), "TOML syntax"},
                 std::string{result.error().description()}});
        } else {
            read_file(result.table());
        }
        auto const by_line = [](Problem const& p) { return p.where.line; };
        std::ranges::stable_sort(collected_.problems, {}, by_line);
        std::ranges::stable_sort(collected_.warnings, {}, by_line);
        parsed_.problems = std::move(collected_.problems);
        parsed_.warnings = std::move(collected_.warnings);
        return std::move(parsed_);
    }

private:
    void read_file(toml::table const& root) {
        Section top{collected_, root, ""};
        read_shared(top);
        model::Limits defaults;
        if (auto const* const table = top.table("defaults")) {
            Section section{collected_, *table, "defaults"};
            read_limits(section, defaults);
            section.finish();
        }
        if (auto const* const table = top.table("service")) {
            Section section{collected_, *table, "service"};
            for (auto const& [name, inner] : section.tables())
                read_service(name, *inner, section, defaults);
        }
        if (auto const* const table = top.table("reference")) {
            Section section{collected_, *table, "reference"};
            parsed_.map.reference = read_patterns(section, collected_, parsed_.map.shared_schema);
            section.finish();
        }
        read_throttle(top);
        read_verify(top);
        read_hooks(top);
        (void)read_pooler(top);
        (void)read_sync_limits(top);
        read_lint(top);
        top.finish();
        refuse_shared_schemas();
        refuse_shared_databases();
        refuse_two_owners();
    }

    void read_shared(Section& top) {
        auto const* const table = top.table("shared");
        if (table == nullptr)
            return;
        Section section{collected_, *table, "shared"};
        parsed_.map.dsn = read_dsn(section);
        parsed_.map.replica_dsn = read_dsn(section, "replica_dsn");
        parsed_.map.shared_schema = section.name("schema").value_or(parsed_.map.shared_schema);
        refuse_reserved_schema(section, "schema", parsed_.map.shared_schema);
        section.finish();
    }

    void read_service(std::string const& name, toml::table const& table, Section& services,
                      model::Limits const& defaults) {
        check_service_name(name, services);
        Section section{collected_, table, key_path("service", name)};
        model::Service service;
        service.name = name;
        service.where = section.where("");
        service.schema = section.name("schema").value_or(name);
        service.role = section.name("role");
        service.create_role = section.flag("create_role").value_or(false);
        service.tables = read_patterns(section, collected_, parsed_.map.shared_schema);
        service.dual_write = static_cast<model::DualWrite>(
            section.choice("dual_write", {"trigger", "application"}).value_or(0));
        service.strategy =
            static_cast<model::Strategy>(section.choice("strategy", {"copy", "move"}).value_or(0));
        service.legacy = static_cast<model::Legacy>(section.choice("legacy", {"refuse", "view"}).value_or(0));
        service.migrations = section.text("migrations");
        service.limits = defaults;
        read_limits(section, service.limits);
        if (auto const* const database = section.table("database"))
            service.database = read_database(*database, key_path(section.path(), "database"), service.schema);
        (void)read_pooler(section);
        if (auto const* const keys = section.table("foreign_keys"))
            service.foreign_keys = read_foreign_keys(*keys, key_path(section.path(), "foreign_keys"));
        section.finish();
        check_service(section, service);
        schema_where_[name] = section.where("schema");
        parsed_.map.services.emplace(name, std::move(service));
    }

    static void check_service_name(std::string const& name, Section& services) {
        constexpr std::size_t longest = 40; // leaves room in the 63 bytes of the names that are made from it
        auto const plain = [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        };
        bool const good = !name.empty() && name[0] >= 'a' && name[0] <= 'z' && name.size() <= longest &&
                          std::ranges::all_of(name, plain);
        if (!good)
            services.problem(name,
                             fmt::format("bad service name: a lower-case letter, then at most {} letters, "
                                         "digits, _ or -",
                                         longest - 1));
    }

    void check_service(Section& section, model::Service const& service) {
        refuse_reserved_schema(section, "schema", service.schema);
        if (service.schema == parsed_.map.shared_schema)
            section.problem(
                "schema",
                fmt::format("\"{}\" is the shared schema: a service needs one of its own", service.schema));
        for (auto const& pattern : service.tables) {
            if (!pattern.exclude && pattern.schema_literal && pattern.schema == service.schema &&
                service.schema != parsed_.map.shared_schema)
                collected_.problems.push_back({pattern.where,
                                               "names a table in the service's own schema: it has nowhere "
                                               "to go; choose another `schema`"});
        }
        if (service.create_role && !service.role && !section.has("role"))
            section.problem("create_role", "needs `role`: the name to create");
        if (service.role &&
            (service.role->starts_with("pg_") || *service.role == "public" || *service.role == "none"))
            section.problem("role", fmt::format("\"{}\" is a reserved role name", *service.role));
        if (service.strategy == model::Strategy::move && service.dual_write == model::DualWrite::application)
            section.problem("dual_write",
                            "strategy \"move\" keeps one copy of the rows, so nothing is written twice");
    }

    model::Database read_database(toml::table const& table, std::string path,
                                  std::string const& service_schema) {
        Section section{collected_, table, std::move(path)};
        model::Database database;
        database.where = section.where("");
        database.dsn = read_dsn(section);
        if (database.dsn.empty()) {
            auto const* const why =
                section.has("dsn") ? "must not be empty" : "is missing: where is the service's database?";
            if (!section.has("dsn") || table.get("dsn")->is_string())
                section.problem("dsn", why);
        } else if (database.dsn == parsed_.map.dsn) {
            section.problem("dsn",
                            "is the shared database: leave this table out to stop after the schema hop");
        }
        database.schema = section.name("schema").value_or(service_schema);
        refuse_reserved_schema(section, "schema", database.schema);
        section.finish();
        return database;
    }

    std::vector<model::ForeignKeyDecision> read_foreign_keys(toml::table const& table, std::string path) {
        static std::vector<std::string> const words{"keep", "loose", "replicate", "drop"};
        Section section{collected_, table, std::move(path)};
        std::vector<model::ForeignKeyDecision> decisions;
        for (auto const& [key, node] : table) {
            auto const decision = section.choice(key.str(), words);
            auto parsed = parse_foreign_key(key.str(), parsed_.map.shared_schema);
            if (auto const* const bad = std::get_if<BadName>(&parsed)) {
                section.problem(key.str(), bad->message);
                continue;
            }
            auto& entry = std::get<model::ForeignKeyDecision>(parsed);
            entry.where = section.where(key.str());
            entry.decision = static_cast<model::CrossingDecision>(decision.value_or(0));
            auto const same = [&](model::ForeignKeyDecision const& other) {
                return other.child == entry.child && other.columns == entry.columns &&
                       other.parent == entry.parent && other.constraint == entry.constraint;
            };
            if (std::ranges::any_of(decisions, same))
                section.problem(key.str(), "this foreign key is decided twice");
            decisions.push_back(std::move(entry));
        }
        return decisions;
    }

    void read_throttle(Section& top) {
        auto const* const table = top.table("throttle");
        if (table == nullptr)
            return;
        constexpr int most = 1'000'000;
        Section section{collected_, *table, "throttle"};
        auto& t = parsed_.map.throttle;
        t.max_replica_lag = section.duration("max_replica_lag", some).value_or(t.max_replica_lag);
        t.max_active_sessions = section.count("max_active_sessions", 0, most).value_or(t.max_active_sessions);
        t.max_lock_waiters = section.count("max_lock_waiters", 0, most).value_or(t.max_lock_waiters);
        t.chunk_time = section.duration("chunk_time", some).value_or(t.chunk_time);
        t.nice = section.ratio("nice", 100.0).value_or(t.nice);
        section.finish();
    }

    void read_verify(Section& top) {
        auto const* const table = top.table("verify");
        if (table == nullptr)
            return;
        Section section{collected_, *table, "verify"};
        auto& verify = parsed_.map.verify;
        verify.nice_ratio = section.ratio("nice_ratio", 100.0).value_or(verify.nice_ratio);
        section.finish();
    }

    void read_hooks(Section& top) {
        auto const* const table = top.table("hooks");
        if (table == nullptr)
            return;
        Section section{collected_, *table, "hooks"};
        parsed_.map.hooks.on_cutover = section.text("on_cutover");
        parsed_.map.hooks.on_rollback = section.text("on_rollback");
        section.finish();
    }

    void read_lint(Section& top) {
        auto const* const table = top.table("lint");
        if (table == nullptr)
            return;
        Section section{collected_, *table, "lint"};
        auto& lint = parsed_.map.lint;
        if (auto const items = section.list("unowned"))
            lint.unowned = patterns_of(*items, collected_, parsed_.map.shared_schema);
        if (auto const* const severities = section.table("severity")) {
            Section inner{collected_, *severities, key_path(section.path(), "severity")};
            for (auto const& [rule, node] : *severities) {
                (void)inner.choice(rule.str(), {"off", "warning", "error"});
                if (auto const* const value = node.as_string())
                    lint.severity[std::string{rule.str()}] = value->get();
            }
        }
        std::size_t index = 0;
        for (auto const* const entry : section.array_of_tables("accept"))
            read_accepted(*entry, fmt::format("{}[{}]", key_path(section.path(), "accept"), index++));
        section.finish();
    }

    void read_accepted(toml::table const& table, std::string path) {
        Section section{collected_, table, std::move(path)};
        model::AcceptedFinding entry;
        entry.where = section.where("");
        auto const wanted = [&](std::string_view key, std::string_view what) {
            auto value = section.text(key);
            if (!section.has(key))
                section.problem(key, fmt::format("is missing: {}", what));
            return value.value_or("");
        };
        entry.rule = wanted("rule", "which rule, such as \"B01\"");
        entry.file = wanted("file", "in which files, such as \"migrations/2026*.sql\"");
        entry.object = section.text("object");
        entry.owner = wanted("owner", "who answers for it");
        entry.reason = wanted("reason", "why it is accepted");
        entry.until = wanted("until", "the last day, such as \"2027-01-31\"");
        if (!entry.until.empty() && !is_day(entry.until))
            section.problem("until", fmt::format("\"{}\" is not a day: write it as \"2027-01-31\"", entry.until));
        section.finish();
        parsed_.map.lint.accept.push_back(std::move(entry));
    }

    // The services in the order of the file, so that the later one of two is told.
    [[nodiscard]] std::vector<model::Service const*> in_file_order() const {
        std::vector<model::Service const*> services;
        for (auto const& [name, service] : parsed_.map.services)
            services.push_back(&service);
        std::ranges::stable_sort(services, {}, [](model::Service const* s) { return s->where.line; });
        return services;
    }

    void refuse_shared_schemas() {
        std::map<std::string, std::string> owner;
        for (auto const* const service : in_file_order()) {
            auto const [at, is_new] = owner.emplace(service->schema, service->name);
            if (!is_new)
                collected_.problems.push_back(
                    {schema_where_.at(service->name),
                     fmt::format("\"{}\" is already the schema of service {}", service->schema, at->second)});
        }
    }

    void refuse_shared_databases() {
        std::map<std::pair<std::string, std::string>, std::string> owner;
        for (auto const* const service : in_file_order()) {
            if (!service->database || service->database->dsn.empty())
                continue;
            auto const [at, is_new] =
                owner.emplace(std::pair{service->database->dsn, service->database->schema}, service->name);
            if (!is_new)
                collected_.problems.push_back(
                    {service->database->where,
                     fmt::format("service {} already has this schema in this database", at->second)});
        }
    }

    // What can be said without a catalog: a table that one service names outright and another one also owns.
    void refuse_two_owners() {
        auto const services = in_file_order();
        std::vector<sql::QName> told;
        for (auto const* const service : services) {
            for (auto const& pattern : service->tables) {
                sql::QName const table{pattern.schema, pattern.name};
                if (pattern.exclude || !pattern.schema_literal || !pattern.name_literal ||
                    !model::patterns_own(service->tables, table) ||
                    std::ranges::find(told, table) != told.end())
                    continue;
                for (auto const* const other : services) {
                    if (other == service || !model::patterns_own(other->tables, table))
                        continue;
                    collected_.problems.push_back(
                        {pattern.where,
                         fmt::format("table {} is also owned by service {}: leave it to one, or exclude "
                                     "it with \"!{}\"",
                                     table.display(), other->name, pattern.text)});
                    told.push_back(table);
                    break;
                }
            }
        }
    }

    Collected collected_;
    Parsed parsed_;
    std::map<std::string, model::Where> schema_where_;
};

} // namespace

std::string Problem::text() const {
    if (where.key.empty())
        return fmt::format("{}:{}: {}", where.file, where.line, message);
    return fmt::format("{}:{}: {}: {}", where.file, where.line, where.key, message);
}

Parsed parse(std::string_view toml, std::string const& file) {
    return FileReader{file}.read(toml);
}

model::BoundaryMap parse_or_throw(std::string_view toml, std::string const& file,
                                  std::vector<Problem>& warnings) {
    auto parsed = parse(toml, file);
    warnings.insert(warnings.end(), parsed.warnings.begin(), parsed.warnings.end());
    if (parsed.problems.empty())
        return std::move(parsed.map);
    auto const count = parsed.problems.size();
    base::Error error{base::Exit::usage, "config",
                      fmt::format("{} has {} problem{}", file, count, count == 1 ? "" : "s"),
                      "mend the lines above; `pgcarve init --template` prints a commented example"};
    for (auto const& problem : parsed.problems)
        error.with(problem.text());
    throw error;
}

} // namespace pgcarve::config
