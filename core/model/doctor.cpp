#include "model/doctor.hpp"

#include <algorithm>

namespace pgcarve::model {

DoctorLevel DoctorReport::worst() const {
    auto worst = DoctorLevel::fine;
    for (auto const& finding : findings)
        worst = std::max(worst, finding.level);
    return worst;
}

char const* text(DoctorLevel v) {
    switch (v) {
    case DoctorLevel::fine:
        return "fine";
    case DoctorLevel::advice:
        return "advice";
    case DoctorLevel::problem:
        return "problem";
    case DoctorLevel::decision:
        return "decision";
    }
    return "problem";
}

} // namespace pgcarve::model
