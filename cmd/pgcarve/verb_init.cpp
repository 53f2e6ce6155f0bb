#include "config/parse.hpp"
#include "pgcarve/options.hpp"

namespace pgcarve::cmd {

namespace {

struct InitOptions {
    bool print_template = false;
};

base::Exit run_init(InitOptions const& /*options*/, Context& context) {
    context.terminal.print(config::template_text());
    return base::Exit::done;
}

} // namespace

void register_init(Registry& registry) {
    auto const options = std::make_shared<InitOptions>();
    auto& verb = registry.add(
        {.name = "init",
         .summary = "print a commented pgcarve.toml to begin with",
         .examples = {"pgcarve init --template > pgcarve.toml", "pgcarve init --template | less"}},
        [options](Context& context) { return run_init(*options, context); });
    verb.add_flag("--template", options->print_template, "print a commented pgcarve.toml")->required();
}

} // namespace pgcarve::cmd
