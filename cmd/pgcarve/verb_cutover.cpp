#include <fmt/format.h>

#include "config/pooler.hpp"
#include "pgcarve/config_file.hpp"
#include "pgcarve/verbs.hpp"
#include "run/authority/database_move.hpp"

namespace pgcarve::cmd {

namespace {

struct MoveOptions {
    std::string service;
    std::vector<std::string> overrides;
    std::string reason;
    Consent consent;
};

base::Exit run_move(cutover::Event event, MoveOptions const& options, Context& context) {
    if (!options.overrides.empty() && options.reason.empty())
        throw base::Error{base::Exit::usage, "reason-needed", "--override needs --reason",
                          "add --reason \"why it may be overridden\": it is recorded and shown for ever"};
    RunContext run{context};
    run::MoveRequest request{.service = options.service, .event = event, .overrides = {}, .dry_run = options.consent.dry_run};
    for (auto const& condition : options.overrides)
        request.overrides[condition] = options.reason;
    std::optional<base::Exit> said;
    auto const pooler = config::pooler_of(read_config(context.options.config), options.service);
    auto const outcome = run::move_pooled_authority(run.get(), request, ask(context, options.consent, said), pooler);
    if (!outcome.confirmed)
        return said.value_or(base::Exit::usage);
    context.result(outcome.result);
    return outcome.result.moved() || outcome.result.already ? base::Exit::done : base::Exit::findings;
}

void declare(Registry& registry, cutover::Event event, VerbText text) {
    auto const options = std::make_shared<MoveOptions>();
    auto& verb = registry.add(std::move(text), [options, event](Context& context) { return run_move(event, *options, context); });
    verb.add_option("SERVICE", options->service, "the service, as pgcarve.toml names it")->type_name("")->required();
    verb.add_option("--override", options->overrides, "let a condition of the gate through; may be given again")->type_name("CONDITION");
    verb.add_option("--reason", options->reason, "why; recorded and shown for ever")->type_name("TEXT");
    options->consent.declare(verb);
}

} // namespace

void register_cutover(Registry& registry) {
    declare(registry, cutover::Event::cutover,
            {.name = "cutover",
             .summary = "move authority to the service's schema, or to its database, when the gate is open",
             .examples = {"pgcarve cutover checkout --dry-run", "pgcarve cutover checkout --yes",
                          "pgcarve cutover checkout --override window --reason \"agreed with the owner\" --yes"},
             .details = "Exit code 1: the gate is closed, nothing was touched. A cutover that cannot keep its write block\n"
                        "below max_write_block is undone. An interrupted one is finished by running it again."});
}

void register_rollback(Registry& registry) {
    declare(registry, cutover::Event::rollback,
            {.name = "rollback",
             .summary = "move authority back to where it came from; nothing written since is lost",
             .examples = {"pgcarve rollback checkout --dry-run", "pgcarve rollback checkout --yes"},
             .details = "The way back needs no window and no run of verifications, but no open finding either."});
}

} // namespace pgcarve::cmd
