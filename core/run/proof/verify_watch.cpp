#include "run/proof/verify_watch.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verify/activity.hpp"

namespace pgcarve::run {

using base::Error;

VerifyWatch::VerifyWatch(Route const& route, pg::Session& source, AcrossOptions const& options, verify::CompareEvents const& events, VerifiedTables& tables)
    : VerifyWatch{source, options.compare, events, tables, [&] {
                      std::vector<pg::SessionSettings> others{route.target("verify")};
                      if (!options.scan_dsn.empty())
                          others.push_back({.dsn = options.scan_dsn, .purpose = "verify"});
                      return others;
                  }} {}

VerifyWatch::VerifyWatch(pg::Session& session, verify::CompareOptions const& options, verify::CompareEvents const& events, VerifiedTables& tables)
    : VerifyWatch{session, options, events, tables, [] { return std::vector<pg::SessionSettings>{}; }} {}

VerifyWatch::VerifyWatch(pg::Session& source, verify::CompareOptions const& options, verify::CompareEvents const& events, VerifiedTables& tables,
                         std::function<std::vector<pg::SessionSettings>()> const& others)
    : source_{source}, options_{options}, events_{events}, tables_{tables}, pace_{options.nice_ratio, Clock::now()} {
    if (!options_.max_active_sessions && pace_.never())
        return;
    watching_ = true;
    auto const more = others();
    if (!more.empty())
        target_.emplace(more.front());
    if (more.size() > 1)
        scanned_.emplace(more.back());
    for (auto* const session : {&source_, target_ ? &*target_ : nullptr}) {
        if (session == nullptr || verify::sees_activity(*session))
            continue;
        if (options_.max_active_sessions)
            throw Error{base::Exit::usage, "load-unknown", fmt::format("this role cannot see how many sessions are active ({})", session->describe()),
                        "GRANT pg_read_all_stats TO it, or leave out the limit on the load"};
        if (events_.note)
            events_.note(verify::unseen_note(*session));
    }
    look_at_servers();
}

void VerifyWatch::look() {
    report();
    look_at_servers();
    if (events_.interrupted && events_.interrupted()) {
        interrupted_ = true;
        stop("interrupted");
    } else if (options_.max_duration && Clock::now() - begin_ >= *options_.max_duration) {
        stop(fmt::format("the time allowed ({}) was used up", base::format_duration(*options_.max_duration)));
    }
}

void VerifyWatch::stop(std::string why) {
    if (why_.empty())
        why_ = std::move(why);
    stopping_ = true;
}

double VerifyWatch::seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

void VerifyWatch::look_at_servers() {
    constexpr std::chrono::milliseconds often_enough{50};
    if (!watching_ || Clock::now() - looked_ < often_enough)
        return;
    auto const here = verify::read_activity(source_);
    auto const there = target_ ? verify::read_activity(*target_) : here;
    if (options_.max_active_sessions)
        holding_ = std::max(here.active, there.active) > *options_.max_active_sessions;
    // The source itself hardly notices that a standby is read.
    auto const scanned = scanned_ ? verify::read_activity(*scanned_) : here;
    looked_ = Clock::now();
    pace_.sample(there.active + there.unseen + scanned.active + scanned.unseen > 0, looked_);
}

void VerifyWatch::report() {
    if (!events_.progress)
        return;
    auto now = tables_.progress();
    now.holding = holding_;
    now.resting = pace_.resting();
    now.rows_per_second = static_cast<double>(now.rows_done) / std::max(0.001, seconds());
    events_.progress(now);
}

} // namespace pgcarve::run
