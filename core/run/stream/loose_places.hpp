// Where a table takes its writes now: as itself or as its copy, in the shared database or in a service's own.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/store.hpp"
#include "plan/loose.hpp"
#include "run/context.hpp"

namespace pgcarve::run {

class Places {
public:
    explicit Places(Context& context) : context_{context} {}

    void read(std::vector<control::ServiceState> states);
    // After trouble: connections and what was read about columns.
    void forget();

    struct Place {
        pg::Session& session;
        sql::QName table;
    };
    // `table` by its name in the shared database, either of its two when it has two.
    [[nodiscard]] Place of(sql::QName const& table, pg::Session& shared);
    // A connection to the service's own database.
    [[nodiscard]] pg::Session& own(std::string const& service);
    // Throws "table-gone" (exit 5) when a column is not there any more.
    [[nodiscard]] plan::LooseTypes types(plan::LooseKey const& key, Place const& parent, Place const& child);

private:
    Context& context_;
    std::vector<control::ServiceState> states_;
    std::map<std::string, std::unique_ptr<pg::Session>> sessions_;
    std::map<std::string, plan::LooseTypes> types_;
};

} // namespace pgcarve::run
