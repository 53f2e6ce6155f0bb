#include <fmt/format.h>

#include "pgcarve/verbs.hpp"
#include "run/finish.hpp"

namespace pgcarve::cmd {

namespace {

struct FinishOptions {
    std::string service;
    bool purge = false;
    Consent consent;
};

using Verb = run::FinishOutcome (*)(run::Context&, std::string const&, run::Confirm const&);

base::Exit run_finish(Verb verb, FinishOptions const& options, Context& context) {
    RunContext run{context};
    std::optional<base::Exit> said;
    auto const outcome = verb(run.get(), options.service, ask(context, options.consent, said));
    if (!outcome.confirmed)
        return said.value_or(base::Exit::usage);
    context.terminal.message(fmt::format("service {} is {}{}\n", options.service, outcome.phase,
                                         outcome.already ? ": there was nothing left to do" : ""));
    if (!outcome.next.empty())
        context.terminal.message(fmt::format("next: {}\n", outcome.next));
    return base::Exit::done;
}

} // namespace

void register_complete(Registry& registry) {
    auto const options = std::make_shared<FinishOptions>();
    auto& verb = registry.add(
        {.name = "complete",
         .summary = "retire the old tables: rename and hold them; --purge drops them after the hold",
         .examples = {"pgcarve complete checkout --dry-run", "pgcarve complete checkout --yes", "pgcarve complete checkout --purge"},
         .details = "Views and foreign keys of others are moved to the new tables first; what cannot be moved by itself\n"
                    "is listed and nothing is touched. There is no way back after it."},
        [options](Context& context) { return run_finish(options->purge ? run::purge : run::complete, *options, context); });
    verb.add_option("SERVICE", options->service, "the service, as pgcarve.toml names it")->type_name("")->required();
    verb.add_flag("--purge", options->purge, "drop the held tables, once the hold is over");
    options->consent.declare(verb);
}

void register_cancel(Registry& registry) {
    auto const options = std::make_shared<FinishOptions>();
    auto& verb = registry.add(
        {.name = "cancel",
         .summary = "take a hop back before its cutover; nothing of it remains",
         .examples = {"pgcarve cancel checkout --dry-run", "pgcarve cancel checkout --yes"},
         .details = "Drops the copies in the service's schema or database, never the originals."},
        [options](Context& context) { return run_finish(run::cancel, *options, context); });
    verb.add_option("SERVICE", options->service, "the service, as pgcarve.toml names it")->type_name("")->required();
    options->consent.declare(verb);
}

} // namespace pgcarve::cmd
