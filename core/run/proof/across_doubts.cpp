#include "run/proof/across_doubts.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pgcarve::run {

using base::Error;
using sql::Sql;

namespace {
constexpr std::size_t most_in_doubt = 50'000; // keys at one moment; beyond them, another one is taken
}

AcrossDoubts::AcrossDoubts(Context& context, Route const& route, sync::Mapping const& mapping, std::vector<model::TablePair> const& pairs,
                           MomentLimits const& limits, std::string scan_dsn, pg::Session& source)
    : context_{context}, source_{source}, moments_{context, route, mapping, limits, std::move(scan_dsn)}, touched_{source, pairs, mapping, route.name} {}

Doubts AcrossDoubts::read(Moment const& moment, std::vector<wire::TransactionId>* unseen) const {
    Doubts doubts{{}, moment.at};
    auto const in_doubt = [&](sync::Touched const& line) {
        if (!moment.doubts(line))
            return false;
        doubts.from = std::min(doubts.from, base::Lsn{line.at.value - 1});
        if (unseen != nullptr)
            std::ranges::copy_if(line.xids, std::back_inserter(*unseen), [&](auto const xid) { return !moment.seen.sees(xid); });
        return true;
    };
    doubts.rows = touched_.read(*moment.target, {}, most_in_doubt, in_doubt, moment.seen.oldest());
    return doubts;
}

AcrossDoubts::Known AcrossDoubts::take() {
    for (int tries = 1;; ++tries) {
        auto moment = moments_.take();
        try {
            auto doubts = read(moment);
            bool const truncating = std::ranges::any_of(doubts.rows, [](auto const& rows) { return rows.second.all; });
            if (!truncating || tries >= 10)
                return {std::move(moment), std::move(doubts)};
        } catch (TouchedReader::TooMany const&) {
            if (tries >= 10)
                throw Error{base::Exit::not_proven, "not-proven", fmt::format("more than {} rows are always being written", most_in_doubt),
                            "try again when the source is less busy"};
        }
        context_.interrupt.wait_for(base::Millis{500});
        context_.interrupt.check();
    }
}

std::string AcrossDoubts::describe(std::vector<wire::TransactionId> const& xids) {
    std::vector<std::string> numbers;
    for (auto const xid : xids)
        numbers.push_back(std::to_string(xid.value));
    auto const row = source_.maybe_one(
        Sql{"SELECT pid, usename::text AS usename, application_name, coalesce(wait_event, state) AS does,"
            " extract(epoch FROM clock_timestamp() - xact_start)::bigint AS seconds FROM pg_stat_activity WHERE backend_xid::text = ANY ("}
            .bind(pg::format_array(numbers))
            .add("::text[]) ORDER BY xact_start LIMIT 1"));
    if (!row)
        return {};
    return fmt::format("; the longest by process {} ({}, {}; {} for {}s)", row->integer("pid"), row->maybe("usename").value_or("?"),
                       row->text("application_name"), row->maybe("does").value_or("?"), row->maybe("seconds").value_or("?"));
}

} // namespace pgcarve::run
