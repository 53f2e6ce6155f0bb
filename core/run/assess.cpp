#include "run/assess.hpp"

#include "catalog/reader.hpp"
#include "plan/assess.hpp"

namespace pgcarve::run {

model::Assessment assess(Context& context) {
    pg::Session session{context.shared("assess")};
    auto catalog = catalog::read_catalog(session);
    auto const ownership = plan::resolve(context.map, catalog);
    plan::require_valid(ownership);
    return plan::assess(std::move(catalog), ownership);
}

} // namespace pgcarve::run
