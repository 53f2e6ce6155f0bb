#include "run/authority/move_parts.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "run/executor.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;

model::Limits limits_of(Context const& context, std::string const& service) {
    auto const* const section = context.map.service(service);
    return section != nullptr ? section->limits : model::Limits{};
}

void check_overrides(MoveRequest const& request) {
    auto const ids = cutover::condition_ids();
    for (auto const& [id, reason] : request.overrides) {
        if (std::ranges::find(ids, id) == ids.end())
            throw Error{Exit::usage, "unknown-condition", fmt::format("the gate has no condition \"{}\"", id),
                        fmt::format("`pgcarve status {}` lists them", request.service)};
        if (reason.empty())
            throw Error{Exit::usage, "reason-needed", fmt::format("overriding \"{}\" needs a reason", id),
                        "add --reason \"why it may be overridden\": it is recorded and shown for ever"};
    }
}

void record_overrides(control::Store& store, control::Lease const& lease, MoveRequest const& request, model::Gate const& gate) {
    for (auto const& [condition, reason] : request.overrides) {
        auto const at = std::ranges::find(gate.conditions, condition, &model::Condition::id);
        if (at != gate.conditions.end() && at->overridden)
            store.record_override(lease, std::string{cutover::text(request.event)}, condition, reason, at->observed);
    }
}

void require_own_attempt(std::optional<control::Attempt> const& open, std::string const& verb, std::string const& service) {
    if (open && open->verb != verb)
        throw Error{Exit::needs_decision, "attempt-open",
                    fmt::format("a {} of {} was interrupted after {} of {} steps", open->verb, service, open->done.size(), open->plan.steps.size()),
                    fmt::format("run `{}` to finish it", rerun_command(open->verb, service))};
}

void run_move_hook(Context& context, cutover::Event event, std::string const& service, cutover::Phase now) {
    auto const& command = event == cutover::Event::cutover ? context.map.hooks.on_cutover : context.map.hooks.on_rollback;
    if (!command)
        return;
    context.events.info("hook: " + *command);
    auto const failed = context.run_hook(*command, service, std::string{cutover::text(now)});
    if (!failed.empty())
        context.events.warn(fmt::format("the hook failed ({}); authority has moved all the same", failed));
}

} // namespace pgcarve::run
