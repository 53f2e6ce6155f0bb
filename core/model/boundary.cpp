#include "model/boundary.hpp"

namespace pgcarve::model {

Service const* BoundaryMap::service(std::string const& name) const {
    auto const at = services.find(name);
    return at == services.end() ? nullptr : &at->second;
}

char const* text(DualWrite v) { return v == DualWrite::trigger ? "trigger" : "application"; }
char const* text(Strategy v) { return v == Strategy::copy ? "copy" : "move"; }
char const* text(Legacy v) { return v == Legacy::refuse ? "refuse" : "view"; }

char const* text(CrossingDecision v) {
    switch (v) {
    case CrossingDecision::keep: return "keep";
    case CrossingDecision::loose: return "loose";
    case CrossingDecision::replicate: return "replicate";
    case CrossingDecision::drop: return "drop";
    }
    return "keep";
}

} // namespace pgcarve::model
