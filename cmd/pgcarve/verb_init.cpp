#include <fmt/format.h>

#include "config/parse.hpp"
#include "control/migrations.hpp"
#include "pgcarve/verbs.hpp"

namespace pgcarve::cmd {

namespace {

struct InitOptions {
    bool print_template = false;
    Consent consent;
};

base::Exit run_init(InitOptions const& options, Context& context) {
    if (options.print_template) {
        context.terminal.print(config::template_text());
        return base::Exit::done;
    }
    pg::Session session{{.dsn = context.config().dsn, .purpose = "init"}};
    auto const pending = control::pending_migrations(session, control::embedded_migrations());
    if (pending.empty()) {
        context.terminal.message("the control schema is up to date\n");
        return base::Exit::done;
    }
    model::Plan plan;
    plan.verb = "init";
    for (auto const& migration : pending)
        plan.steps.push_back({fmt::format("migration:{:04}_{}", migration.version, migration.name), {migration.sql}, "",
                              "the control schema \"pgcarve\" in the shared database", {}});
    if (auto const exit = context.confirm(plan, options.consent))
        return *exit;
    for (auto const& migration : control::migrate(session, control::embedded_migrations()))
        context.terminal.message(fmt::format("applied {:04} {}\n", migration.version, migration.name));
    return base::Exit::done;
}

} // namespace

void register_init(Registry& registry) {
    auto const options = std::make_shared<InitOptions>();
    auto& verb = registry.add({.name = "init",
                               .summary = "create or upgrade the control schema; or print a pgcarve.toml to begin with",
                               .examples = {"pgcarve init --template > pgcarve.toml", "pgcarve init --yes"}},
                              [options](Context& context) { return run_init(*options, context); });
    verb.add_flag("--template", options->print_template, "print a commented pgcarve.toml and stop");
    options->consent.declare(verb);
}

} // namespace pgcarve::cmd
