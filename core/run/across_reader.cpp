#include "run/across_reader.hpp"

namespace pgcarve::run {

namespace {

constexpr base::Millis statement_grace{60'000}; // a statement that began when the snapshot was about to be old

pg::SessionSettings settings(std::string dsn, AcrossOptions const& options) {
    return {.dsn = std::move(dsn), .purpose = "verify", .statement_timeout = options.snapshot_limit + statement_grace};
}

} // namespace

Reader::Reader(Route const& route, AcrossOptions const& options, bool primary)
    : source_{settings(primary || options.scan_dsn.empty() ? route.source_dsn : options.scan_dsn, options)}, target_{settings(route.target_dsn, options)} {
    // Several readers share the load on purpose: parallel plans below them would take more than was asked for.
    for (auto* const session : {&source_, &target_})
        session->run("SET jit = off; SET max_parallel_workers_per_gather = 0; SET work_mem = '16MB'");
    patient(source_);
    patient(target_);
}

void Reader::at(Moment const& moment, std::function<void(verify::TwoSessions const&)> const& work) {
    pg::Transaction here{source_, pg::Isolation::repeatable_read, pg::Access::read_only};
    pg::Transaction there{target_, pg::Isolation::repeatable_read, pg::Access::read_only};
    source_.run("SET TRANSACTION SNAPSHOT " + sql::literal(moment.source_id));
    target_.run("SET TRANSACTION SNAPSHOT " + sql::literal(moment.target_id));
    work({source_, target_});
}

void Reader::cancel() noexcept {
    source_.cancel();
    target_.cancel();
}

} // namespace pgcarve::run
