// What the verbs that call core/run share: the context they hand over, and consent.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "pgcarve/options.hpp"
#include "run/authority/authority.hpp"
#include "run/context.hpp"

namespace pgcarve::cmd {

// Lives as long as the verb; REQUIRES that the cmd::Context outlives it.
class RunContext {
public:
    explicit RunContext(Context& context);
    [[nodiscard]] run::Context& get() noexcept { return run_; }

private:
    Progress progress_;
    run::Context run_;
};

// A Confirm that shows the plan and asks; what it decided is in `exit` when it said no.
[[nodiscard]] run::Confirm ask(Context& context, Consent const& consent, std::optional<base::Exit>& exit);

// user@host of this process, for leases and the journal.
[[nodiscard]] std::string operator_name();

} // namespace pgcarve::cmd
