#include "run/context.hpp"

#include <csignal>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace pgcarve::run {

void Failpoints::hit(std::string const& name) {
    if (spec_.empty())
        return;
    ++count_;
    if (spec_ == name || spec_ == fmt::format("#{}", count_)) {
        fmt::print(stderr, "failpoint {} ({})\n", name, count_);
        std::raise(SIGKILL);
    }
}

model::Service const& Context::service(std::string const& name) const {
    if (auto const* const found = map.service(name))
        return *found;
    std::vector<std::string> names;
    for (auto const& [known, unused] : map.services)
        names.push_back(known);
    throw base::Error{base::Exit::usage, "unknown-service", fmt::format("there is no service \"{}\" in {}", name, map.file),
                      names.empty() ? std::string{"add a [service.NAME] section"}
                                    : fmt::format("services: {}", fmt::join(names, ", "))};
}

} // namespace pgcarve::run
