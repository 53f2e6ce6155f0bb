#include "run/across_watch.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pgcarve::run {

using base::Error;
using sql::Sql;

AcrossWatch::AcrossWatch(Route const& route, pg::Session& source, verify::CompareOptions const& options, verify::CompareEvents const& events,
                         AcrossTables& tables)
    : route_{&route}, source_{source}, options_{options}, events_{events}, tables_{tables} {
    require_rights();
}

AcrossWatch::AcrossWatch(pg::Session& session, verify::CompareOptions const& options, verify::CompareEvents const& events, AcrossTables& tables)
    : source_{session}, options_{options}, events_{events}, tables_{tables} {
    require_rights();
}

void AcrossWatch::require_rights() {
    if (!options_.max_active_sessions)
        return;
    for (auto* const session : sessions()) {
        // Without this right pg_stat_activity shows other roles' sessions without their state.
        if (!session->one(Sql{"SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS yes"}).boolean("yes"))
            throw Error{base::Exit::usage, "load-unknown", fmt::format("this role cannot see how many sessions are active ({})", session->describe()),
                        "GRANT pg_read_all_stats TO it, or leave out the limit on the load"};
    }
}

std::vector<pg::Session*> AcrossWatch::sessions() {
    if (route_ == nullptr)
        return {&source_};
    if (!target_)
        target_.emplace(route_->target("verify"));
    return {&source_, &*target_};
}

void AcrossWatch::look() {
    report();
    if (options_.max_active_sessions)
        holding_ = busy() > *options_.max_active_sessions;
    if (events_.interrupted && events_.interrupted()) {
        interrupted_ = true;
        stop("interrupted");
    } else if (options_.max_duration && Clock::now() - begin_ >= *options_.max_duration) {
        stop(fmt::format("the time allowed ({}) was used up", base::format_duration(*options_.max_duration)));
    }
}

void AcrossWatch::stop(std::string why) {
    if (why_.empty())
        why_ = std::move(why);
    stopping_ = true;
}

double AcrossWatch::seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

// Active sessions of others on the busier of the two servers.
long long AcrossWatch::busy() {
    long long most = 0;
    for (auto* const session : sessions()) {
        auto const row = session->one(Sql{"SELECT count(*) AS n FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'"
                                          " AND pid <> pg_backend_pid() AND application_name NOT LIKE 'pgcarve %'"});
        most = std::max(most, row.integer("n"));
    }
    return most;
}

void AcrossWatch::report() {
    if (!events_.progress)
        return;
    auto now = tables_.progress();
    now.holding = holding_;
    now.rows_per_second = static_cast<double>(now.rows_done) / std::max(0.001, seconds());
    events_.progress(now);
}

} // namespace pgcarve::run
