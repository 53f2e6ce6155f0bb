#include "model/verification.hpp"

namespace pgcarve::model {

char const* text(Verdict v) {
    switch (v) {
    case Verdict::clean: return "clean";
    case Verdict::different: return "different";
    case Verdict::incomplete: return "incomplete";
    }
    return "incomplete";
}

char const* text(FindingKind v) {
    switch (v) {
    case FindingKind::missing: return "missing";
    case FindingKind::extra: return "extra";
    case FindingKind::different: return "different";
    }
    return "different";
}

Verdict overall(std::vector<TableVerification> const& tables) {
    auto verdict = tables.empty() ? Verdict::incomplete : Verdict::clean;
    for (auto const& table : tables) {
        if (table.verdict == Verdict::different)
            return Verdict::different;
        if (table.verdict == Verdict::incomplete)
            verdict = Verdict::incomplete;
    }
    return verdict;
}

std::int64_t Verification::rows() const {
    std::int64_t sum = 0;
    for (auto const& table : tables)
        sum += table.rows;
    return sum;
}

std::int64_t Verification::differences() const {
    std::int64_t sum = 0;
    for (auto const& table : tables)
        sum += table.missing + table.extra + table.different;
    return sum;
}

} // namespace pgcarve::model
