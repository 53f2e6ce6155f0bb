// Runs the steps of an attempt, each once: a step's SQL and its journal line commit together,
// so a rerun after a kill goes on behind the last step that took place.
//
// A step with SQL runs under a short lock_timeout with bounded retries and says who is in the
// way. A step without SQL is code, registered by its id or by the part of its id before ':'.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "control/store.hpp"
#include "pg/retry.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

class Executor {
public:
    Executor(Context& context, pg::Session& session, control::Lease const& lease, control::Attempt attempt);

    // Runs inside the transaction that journals the step.
    using Inside = std::function<void(model::Step const&)>;
    // Runs on its own, commits what it likes; the step is journaled after it returns. It must be able to run twice.
    using Alone = std::function<void(model::Step const&)>;
    void inside(std::string const& id, Inside handler) { inside_[id] = std::move(handler); }
    void alone(std::string const& id, Alone handler) { alone_[id] = std::move(handler); }

    void run();
    [[nodiscard]] control::Attempt& attempt() noexcept { return attempt_; }
    [[nodiscard]] bool done(std::string const& step) const { return attempt_.done.contains(step); }
    // Closes the attempt in a transaction of its own; `also` runs in the same transaction.
    void finish(nlohmann::json const& result, bool undone = false, std::function<void()> const& also = [] {});

private:
    void run_step(model::Step const& step);

    Context& context_;
    pg::Session& session_;
    control::Lease const& lease_;
    control::Attempt attempt_;
    std::map<std::string, Inside> inside_;
    std::map<std::string, Alone> alone_;
};

// Waits politely and tells the operator who blocks.
[[nodiscard]] std::function<void(int, std::vector<pg::Blocker> const&)> announce_wait(Context& context, std::string what);

// What an operator types to go on with an attempt of `verb`.
[[nodiscard]] std::string rerun_command(std::string const& verb, std::string const& service);

// Throws "plan-refused" (exit 5) with everything that the plan's notices refuse, if there is any.
void refuse_if_told(model::Plan const& plan, std::string const& message);

// Turns a refusal by the server into an error that says which step failed and what to type.
[[noreturn]] void explain(pg::SqlError const& e, std::string const& verb, std::string const& service, std::string const& step);

} // namespace pgcarve::run
