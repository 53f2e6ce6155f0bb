// The JSON side of the renderers: one place for the schema version and for how values look.
// Private to report/.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "model/gate.hpp"

namespace pgcarve::report {

using Json = nlohmann::ordered_json; // fields in the order written

// An empty document with its schema_version.
[[nodiscard]] Json document();
// One document, indented, with a newline; bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string dump(Json const& value);
// null when there is none.
template <class T>
[[nodiscard]] Json or_null(std::optional<T> const& value) {
    return value ? Json(*value) : Json(nullptr);
}
// Three decimals: enough for seconds and milliseconds, and the same on every machine.
[[nodiscard]] Json rounded(double value);
[[nodiscard]] Json gate_json(model::Gate const& gate);

} // namespace pgcarve::report
