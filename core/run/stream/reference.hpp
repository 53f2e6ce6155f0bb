// The stream of the reference tables (plan/reference.hpp), beside the service's own one and in a thread of its own: always from
// the shared database, whoever has the authority over the service.
//
// Tables that a heal has marked are mended first. What goes by is waited for. What does not is told once, and ends it: the service's own stream goes on.
#pragma once

#include <memory>
#include <string>

#include "base/types.hpp"
#include "model/setup.hpp"
#include "run/context.hpp"
#include "run/stream/route.hpp"
#include "run/stream/sync.hpp"

namespace pgcarve::run {

[[nodiscard]] Route reference_route(Context const& context, std::string const& service, model::DatabaseSetup const& setup);

class ReferenceStream {
public:
    // Runs from here on when there are reference tables.
    ReferenceStream(Context& context, std::string const& service, model::DatabaseSetup const& setup, SyncOptions::Limits const& limits);
    ~ReferenceStream(); // stops at a commit

    // Whether everything is applied that was committed before `until`; true when there is nothing to apply. Throws what ended it.
    [[nodiscard]] bool reached(base::Lsn until) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_; // none without reference tables
};

} // namespace pgcarve::run
