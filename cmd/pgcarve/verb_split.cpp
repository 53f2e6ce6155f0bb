#include <fmt/format.h>

#include "pgcarve/verbs.hpp"
#include "run/split.hpp"

namespace pgcarve::cmd {

namespace {

struct SplitOptions {
    std::string service;
    Consent consent;
};

base::Exit run_plan(SplitOptions const& options, Context& context) {
    (void)context.service(options.service);
    RunContext run{context};
    auto const plan = run::split_plan(run.get(), options.service);
    context.result(plan);
    for (auto const& notice : plan.notices) {
        if (notice.refuses)
            return base::Exit::needs_decision;
    }
    return base::Exit::done;
}

base::Exit run_split(SplitOptions const& options, Context& context) {
    RunContext run{context};
    std::optional<base::Exit> said;
    auto const outcome = run::split(run.get(), options.service, ask(context, options.consent, said));
    if (!outcome.confirmed)
        return said.value_or(base::Exit::usage);
    if (outcome.already)
        context.terminal.message(fmt::format("service {} is {} already, and its tables have not changed\n", options.service, outcome.phase));
    else
        context.terminal.message(fmt::format("service {} is {}: {} rows copied\n", options.service, outcome.phase, outcome.rows));
    context.terminal.message(fmt::format("next: {}\n", outcome.next));
    return base::Exit::done;
}

} // namespace

void register_plan(Registry& registry) {
    auto const options = std::make_shared<SplitOptions>();
    auto& verb = registry.add({.name = "plan",
                               .summary = "show a service's tables, crossings, and every step of its split",
                               .examples = {"pgcarve plan checkout", "pgcarve --format json plan checkout"},
                               .details = "Reads the catalog and changes nothing; needs no control schema."},
                              [options](Context& context) { return run_plan(*options, context); });
    verb.add_option("SERVICE", options->service, "the service, as pgcarve.toml names it")->type_name("")->required();
}

void register_split(Registry& registry) {
    auto const options = std::make_shared<SplitOptions>();
    auto& verb = registry.add(
        {.name = "split",
         .summary = "schema hop up to dual_writing: schema, tables, mirror, backfill",
         .examples = {"pgcarve split checkout --dry-run", "pgcarve split checkout --yes"},
         .details = "An interrupted split goes on where it stopped when it is run again. Run on a service that is\n"
                    "split already, it brings the copies in step with tables that were changed since."},
        [options](Context& context) { return run_split(*options, context); });
    verb.add_option("SERVICE", options->service, "the service, as pgcarve.toml names it")->type_name("")->required();
    options->consent.declare(verb);
}

} // namespace pgcarve::cmd
