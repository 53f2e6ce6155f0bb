// Two sessions that read what a moment shows. Threads: one at a time; cancel() from any.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "run/proof/across_verification.hpp"

namespace pgcarve::run {

class Reader {
public:
    // `primary`: of the source itself, whatever the options say. Opens both at once.
    Reader(Route const& route, AcrossOptions const& options, bool primary);

    // Runs `work` in transactions with the moment's snapshots. Their locks on tables end with it.
    void at(Moment const& moment, std::function<void(verify::TwoSessions const&)> const& work);
    void cancel() noexcept;
    [[nodiscard]] pg::Session& source() noexcept { return source_; }
    [[nodiscard]] pg::Session& target() noexcept { return target_; }

private:
    explicit Reader(std::pair<pg::Session, pg::Session> sessions);

    pg::Session source_;
    pg::Session target_;
};

} // namespace pgcarve::run
