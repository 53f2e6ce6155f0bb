#include "audit/judge.hpp"

namespace pgcarve::audit {

std::vector<bool> written_columns(RowState const& net, std::size_t columns) {
    std::vector<bool> written(columns, false);
    for (auto const& side : net.sides) {
        for (std::size_t i = 0; i < side.columns.size() && i < columns; ++i)
            written[i] = written[i] || side.columns[i] != unknown_value;
    }
    return written;
}

Judgement judge(RowState const& state, std::vector<bool> const& written) {
    Judgement judgement;
    auto const& shared = state.of(Side::shared);
    auto const& service = state.of(Side::service);
    for (auto const side : both)
        judgement.wanted[index(side)] = state.of(side).presence == Presence::unknown;
    if (judgement.wanted[0] || judgement.wanted[1]) {
        judgement.outcome = Outcome::open;
        return judgement;
    }
    if (shared.presence != service.presence) {
        judgement.outcome = Outcome::different;
        judgement.kind = shared.presence == Presence::present ? model::FindingKind::missing : model::FindingKind::extra;
        return judgement;
    }
    if (shared.presence == Presence::absent)
        return judgement;
    for (std::size_t i = 0; i < written.size(); ++i) {
        if (!written[i])
            continue;
        auto const one = shared.columns[i];
        auto const two = service.columns[i];
        if (one == unknown_value || two == unknown_value) {
            judgement.wanted[0] = judgement.wanted[0] || one == unknown_value;
            judgement.wanted[1] = judgement.wanted[1] || two == unknown_value;
        } else if (one != two) {
            judgement.columns.push_back(i);
        }
    }
    if (judgement.wanted[0] || judgement.wanted[1])
        judgement.outcome = Outcome::open;
    else if (!judgement.columns.empty())
        judgement.outcome = Outcome::different;
    return judgement;
}

} // namespace pgcarve::audit
