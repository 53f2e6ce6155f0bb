// Whether a transaction left a row equal on both sides, as far as is known.
// Pure.
#pragma once

#include <vector>

#include "audit/net.hpp"
#include "model/verification.hpp"

namespace pgcarve::audit {

// The columns that a transaction gave a value, on either side: those that it answers for.
[[nodiscard]] std::vector<bool> written_columns(RowState const& net, std::size_t columns);

enum class Outcome : std::uint8_t { equal, different, open };

// `kind` has the shared side as the source.
struct Judgement {
    Outcome outcome = Outcome::equal;
    model::FindingKind kind = model::FindingKind::different;
    std::vector<std::size_t> columns; // that differ
    std::array<bool, 2> wanted{};     // open: the sides of which more has to be known
};

[[nodiscard]] Judgement judge(RowState const& state, std::vector<bool> const& written);

} // namespace pgcarve::audit
