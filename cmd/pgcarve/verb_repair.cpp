#include <fmt/format.h>

#include "pgcarve/verbs.hpp"
#include "run/proof/verification.hpp"

namespace pgcarve::cmd {

namespace {

struct RepairOptions {
    std::string service;
    std::vector<std::string> tables;
    Consent consent;
};

constexpr std::size_t printed_statements = 50; // the rest is counted; --dry-run prints them all

base::Exit run_repair(RepairOptions const& options, Context& context) {
    RunContext run{context};
    run::RepairRequest request{.service = options.service, .tables = options.tables};
    std::size_t count = 0;
    std::string shown;
    auto const found = run::repair_plan(run.get(), request, [&](verify::RepairStatement const& statement) {
        ++count;
        if (options.consent.dry_run)
            context.terminal.print(statement.sql + "\n");
        else if (count <= printed_statements)
            shown += statement.sql + "\n";
    });
    if (count == 0) {
        context.result(std::vector{found.before});
        return found.before.verdict == model::Verdict::clean ? base::Exit::done : base::Exit::not_proven;
    }
    if (options.consent.dry_run)
        return base::Exit::done;
    if (count > printed_statements)
        shown += fmt::format("-- and {} more; --dry-run prints them all\n", count - printed_statements);
    if (auto const exit = context.confirm(shown, "{}", options.consent))
        return *exit;
    auto const report = run::repair_service(run.get(), request);
    for (auto const& table : report.tables) {
        context.terminal.message(fmt::format("{}: {} inserted, {} updated, {} deleted, {} remain\n", table.target.display(), table.inserted,
                                             table.updated, table.deleted, table.remaining));
        for (auto const& reason : table.reasons)
            context.terminal.message(fmt::format("  {}\n", reason));
    }
    context.terminal.message(fmt::format("next: pgcarve verify {}\n", options.service));
    return report.remaining() == 0 ? base::Exit::done : base::Exit::findings;
}

} // namespace

void register_repair(Registry& registry) {
    auto const options = std::make_shared<RepairOptions>();
    auto& verb = registry.add(
        {.name = "repair",
         .summary = "make the follower's rows equal to the authority's where they differ",
         .examples = {"pgcarve repair checkout --dry-run > repair.sql", "pgcarve repair checkout --yes",
                      "pgcarve repair checkout --tables orders,order_lines --yes"},
         .details = "Compares afresh, prints the smallest statements for the follower (keys, no other values), runs them\n"
                    "under row locks and verifies exactly those keys. Never writes to the authority."},
        [options](Context& context) { return run_repair(*options, context); });
    verb.add_option("SERVICE", options->service, "the service, as pgcarve.toml names it")->type_name("")->required();
    verb.add_option("--tables", options->tables, "only these tables, separated by commas")->delimiter(',')->type_name("NAMES");
    options->consent.declare(verb);
}

} // namespace pgcarve::cmd
