// workload run | workload check: writes to the sample monolith, and proves what of it is still there.
#include <exception>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "check.hpp"
#include "run.hpp"
#include "session.hpp"

namespace {

std::pair<std::string, std::string> service_and_schema(std::string const& text) {
    auto const at = text.find('=');
    if (at == std::string::npos || at == 0 || at + 1 == text.size()) {
        throw CLI::ValidationError{"expected SERVICE=…, not " + text};
    }
    return {text.substr(0, at), text.substr(at + 1)};
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app{"Writes to the sample monolith like its application would, and proves what became of it."};
    app.require_subcommand(1);

    monolith::RunOptions run;
    std::vector<std::string> run_services;
    auto* const run_command =
        app.add_subcommand("run", "runs transactions and records them in a ledger; prints JSON");
    run_command->add_option("--dsn", run.dsn, "connection string")->required();
    run_command->add_option("--ledger", run.ledger, "file that records go to; appended")->required();
    run_command->add_option("--clients", run.clients, "connections")
        ->check(CLI::Range(1, 500))
        ->capture_default_str();
    run_command->add_option("--rate", run.rate,
                            "transactions per second of all clients; 0: as fast as they can");
    run_command->add_option("--seconds", run.seconds, "how long; 0: until SIGTERM or SIGINT");
    run_command->add_option("--seed", run.seed, "of the choice of transactions")->capture_default_str();
    run_command->add_option("--schema", run.shared_schema, "the shared schema")->capture_default_str();
    run_command->add_option("--service", run_services,
                            "SERVICE=SCHEMA: tables of SERVICE are in SCHEMA, or (--follow) may move there");
    std::vector<std::string> run_databases;
    run_command->add_option("--database", run_databases,
                            "SERVICE=DSN: its tables may move into this database, to the schema of the same name or that of --service");
    run_command->add_flag("--follow", run.follow,
                          "begin in the shared schema, turn to the other when a write is refused");
    run_command->add_option("--patience", run.patience, "seconds that one transaction may be retried")
        ->capture_default_str();
    run_command->add_option("--statement-timeout", run.statement_timeout_ms, "milliseconds; 0: none")
        ->capture_default_str();
    run_command->add_flag("--prepared", run.prepared, "use prepared statements");
    bool no_partitions = false;
    run_command->add_flag("--no-direct-partitions", no_partitions,
                          "address the partitioned table only by its root");
    run_command->add_flag("--progress", run.progress, "a line a second on stderr");

    monolith::CheckOptions check;
    std::vector<std::string> check_services;
    std::vector<std::string> check_also;
    std::vector<std::string> skip;
    auto* const check_command =
        app.add_subcommand("check", "proves that the database holds what the ledgers acknowledge");
    check_command
        ->add_option("--dsn", check.dsn, "connection string; of a role that row security does not filter")
        ->required();
    check_command->add_option("--ledger", check.ledgers, "every ledger written since the seed was loaded")
        ->required();
    check_command->add_option("--schema", check.shared_schema, "the shared schema")->capture_default_str();
    check_command->add_option("--service", check_services,
                              "SERVICE=SCHEMA: where the authority for SERVICE is");
    std::vector<std::string> check_databases;
    check_command->add_option("--database", check_databases, "SERVICE=DSN: the authority for SERVICE is in this database");
    check_command->add_option("--also-schema", check_also, "SERVICE=SCHEMA: this side must hold the same");
    check_command->add_option("--skip-table", skip, "a table that is not looked at");
    check_command->add_option("--max-report", check.max_report, "findings that are printed")
        ->capture_default_str();

    try {
        app.parse(argc, argv);
        for (auto const& s : run_services) {
            run.services.insert(service_and_schema(s));
        }
        for (auto const& s : check_services) {
            check.services.insert(service_and_schema(s));
        }
        for (auto const& s : run_databases) {
            run.databases.insert(service_and_schema(s));
        }
        for (auto const& s : check_databases) {
            check.databases.insert(service_and_schema(s));
        }
        for (auto const& s : check_also) {
            auto const [service, schema] = service_and_schema(s);
            check.also[service].push_back(schema);
        }
        check.skip.insert(skip.begin(), skip.end());
        run.direct_partitions = !no_partitions;
    } catch (CLI::ParseError const& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    try {
        return run_command->parsed() ? monolith::run_workload(run) : monolith::check_database(check);
    } catch (std::exception const& e) {
        fmt::print(stderr, "workload: {}\n", e.what());
        return 2;
    }
}
