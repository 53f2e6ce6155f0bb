#include "pgcarve/options.hpp"

namespace pgcarve::cmd {

void register_init(Registry& registry);
void register_doctor(Registry& registry);
void register_assess(Registry& registry);
void register_plan(Registry& registry);
void register_split(Registry& registry);
void register_sync(Registry& registry);
void register_audit(Registry& registry);
void register_verify(Registry& registry);
void register_repair(Registry& registry);
void register_status(Registry& registry);
void register_metrics(Registry& registry);
void register_cutover(Registry& registry);
void register_rollback(Registry& registry);
void register_complete(Registry& registry);
void register_cancel(Registry& registry);
void register_lint(Registry& registry);

void register_verbs(Registry& registry) {
    register_init(registry);
    register_doctor(registry);
    register_assess(registry);
    register_plan(registry);
    register_split(registry);
    register_sync(registry);
    register_audit(registry);
    register_verify(registry);
    register_repair(registry);
    register_status(registry);
    register_metrics(registry);
    register_cutover(registry);
    register_rollback(registry);
    register_complete(registry);
    register_cancel(registry);
    register_lint(registry);
}

} // namespace pgcarve::cmd
