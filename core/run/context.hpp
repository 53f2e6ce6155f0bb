// What every use-case is given: the boundary map, who runs it, how to report and how to stop.
// Nothing below run/ reads the environment or prints; cmd/ fills this in.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/interrupt.hpp"
#include "mirror/backfill.hpp"
#include "model/boundary.hpp"
#include "pg/session.hpp"

namespace pgcarve::run {

// Places at which a test makes the process die, as a power cut would. A point is hit by name
// ("split/table:orders/before"); `spec` is "" (off), "NAME" or "#N" (the N-th point hit).
class Failpoints {
public:
    explicit Failpoints(std::string spec = {}) : spec_{std::move(spec)} {}
    void hit(std::string const& name);

private:
    std::string spec_;
    int count_ = 0;
};

struct Events {
    std::function<void(std::string const&)> info = [](std::string const&) {};
    std::function<void(std::string const&)> warn = [](std::string const&) {};
    std::function<void(mirror::BackfillProgress const&)> backfill = [](mirror::BackfillProgress const&) {};
};

struct Context {
    model::BoundaryMap const& map;
    base::Interrupt& interrupt;
    std::string operator_name; // user@host
    Events events;
    Failpoints failpoints;
    // Runs an operator's command with the service and its new phase; returns "" or why it failed.
    std::function<std::string(std::string const& command, std::string const& service, std::string const& phase)> run_hook =
        [](std::string const&, std::string const&, std::string const&) { return std::string{}; };

    [[nodiscard]] pg::SessionSettings shared(std::string purpose) const {
        return {.dsn = map.dsn, .purpose = std::move(purpose)};
    }
    // The service's section; throws "unknown-service" (exit 2) listing those that exist.
    [[nodiscard]] model::Service const& service(std::string const& name) const;
};

} // namespace pgcarve::run
