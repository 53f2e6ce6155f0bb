#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include "pgcarve/verbs.hpp"
#include "report/assess.hpp"
#include "run/assess.hpp"

namespace pgcarve::cmd {

namespace {

struct AssessOptions {
    std::string save;
};

base::Exit run_assess(AssessOptions const& options, Context& context) {
    RunContext run{context};
    auto const assessment = run::assess(run.get());
    if (!options.save.empty()) {
        std::ofstream out{options.save, std::ios::binary};
        out << report::json(assessment);
        out.close();
        if (!out)
            throw base::Error{base::Exit::usage, "file-unwritable", fmt::format("cannot write {}: {}", options.save, std::strerror(errno)), {}};
    }
    context.terminal.print(context.options.json ? report::json(assessment) : report::text(assessment, context.terminal.out_style()));
    return base::Exit::done;
}

} // namespace

void register_assess(Registry& registry) {
    auto const options = std::make_shared<AssessOptions>();
    auto& verb = registry.add({.name = "assess",
                               .summary = "inventory of the shared database: who owns what, and what crosses between owners",
                               .examples = {"pgcarve assess", "pgcarve assess --save inventory.json",
                                            "pgcarve --format json assess"},
                               .details = "Only reads. The inventory holds no rows; `pgcarve lint --inventory` judges by it without a server.\n"
                                          "A crossing marked ? was found by reading a function's text."},
                              [options](Context& context) { return run_assess(*options, context); });
    verb.add_option("--save", options->save, "write the inventory to this file too")->type_name("FILE");
}

} // namespace pgcarve::cmd
