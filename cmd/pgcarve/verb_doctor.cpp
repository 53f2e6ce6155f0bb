#include "pgcarve/verbs.hpp"
#include "run/doctor/doctor.hpp"

namespace pgcarve::cmd {

namespace {

struct DoctorOptions {
    std::optional<std::string> service;
};

base::Exit run_doctor(DoctorOptions const& options, Context& context) {
    if (options.service)
        (void)context.service(*options.service); // with the nearest name, when there is no such service
    RunContext examined{context};
    auto const report = run::examine(examined.get(), options.service);
    context.result(report);
    return run::exit_of(report);
}

} // namespace

void register_doctor(Registry& registry) {
    auto const options = std::make_shared<DoctorOptions>();
    auto& verb = registry.add(
        {.name = "doctor",
         .summary = "check server, privileges and tables, and say how to mend what is wrong",
         .examples = {"pgcarve doctor", "pgcarve doctor checkout", "pgcarve --format json doctor checkout"},
         .details = "Changes nothing, and works before `init` too. After a verb that was interrupted it says which steps\n"
                    "stand and what to run. Exit code: 0 nothing stands in the way, 1 a verb would fail, 5 something\n"
                    "half-done needs a decision."},
        [options](Context& context) { return run_doctor(*options, context); });
    verb.add_option("SERVICE", options->service, "one service; all of them when left out")->type_name("");
}

} // namespace pgcarve::cmd
