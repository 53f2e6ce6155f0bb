#include "pgcarve/options.hpp"

namespace pgcarve::cmd {

void register_init(Registry& registry);

void register_verbs(Registry& registry) {
    register_init(registry);
}

} // namespace pgcarve::cmd
