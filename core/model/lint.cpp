#include "model/lint.hpp"

namespace pgcarve::model {

char const* text(Severity severity) {
    switch (severity) {
    case Severity::off: return "off";
    case Severity::warning: return "warning";
    case Severity::error: return "error";
    }
    return "error";
}

} // namespace pgcarve::model
