#include "run/proof/across_reader.hpp"

#include <future>

namespace pgcarve::run {

namespace {

constexpr base::Millis statement_grace{60'000}; // a statement that began when the snapshot was about to be old

pg::Session open(std::string dsn, AcrossOptions const& options) {
    pg::Session session{{.dsn = std::move(dsn), .purpose = "verify", .statement_timeout = options.snapshot_limit + statement_grace}};
    // Several readers share the load on purpose: parallel plans below them would take more than was asked for.
    session.run("SET jit = off; SET max_parallel_workers_per_gather = 0; SET work_mem = '16MB'");
    patient(session);
    return session;
}

std::pair<pg::Session, pg::Session> open_both(Route const& route, AcrossOptions const& options, bool primary) {
    auto there = std::async(std::launch::async, [&] { return open(route.target_dsn, options); });
    auto here = open(primary || options.scan_dsn.empty() ? route.source_dsn : options.scan_dsn, options);
    return {std::move(here), there.get()};
}

} // namespace

Reader::Reader(Route const& route, AcrossOptions const& options, bool primary) : Reader{open_both(route, options, primary)} {}
Reader::Reader(std::pair<pg::Session, pg::Session> sessions) : source_{std::move(sessions.first)}, target_{std::move(sessions.second)} {}

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
