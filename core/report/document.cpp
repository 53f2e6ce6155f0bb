#include "report/document.hpp"

#include <cmath>

namespace pgcarve::report {

Json document() {
    Json json;
    json["schema_version"] = 1;
    return json;
}

std::string dump(Json const& value) {
    return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json rounded(double value) {
    if (!std::isfinite(value))
        return nullptr;
    return std::round(value * 1000) / 1000;
}

Json gate_json(model::Gate const& gate) {
    Json json;
    json["open"] = gate.open();
    json["conditions"] = Json::array();
    for (auto const& condition : gate.conditions) {
        Json entry;
        entry["id"] = condition.id;
        entry["state"] = model::text(condition.state);
        entry["observed"] = condition.observed;
        entry["limit"] = condition.limit;
        entry["hint"] = condition.hint;
        entry["overridden"] = or_null(condition.overridden);
        json["conditions"].push_back(std::move(entry));
    }
    return json;
}

} // namespace pgcarve::report
