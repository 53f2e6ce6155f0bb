#include "run/live_facts.hpp"

#include "catalog/reader.hpp"
#include "run/synced.hpp"

namespace pgcarve::run {

LiveFacts live_facts(std::string const& dsn) {
    pg::Session session{{.dsn = dsn, .purpose = "lint"}};
    pg::Transaction transaction{session, pg::Isolation::repeatable_read, pg::Access::read_only};
    LiveFacts facts;
    facts.catalog = catalog::read_catalog(session);
    facts.sync = read_sync_state(session);
    return facts;
}

} // namespace pgcarve::run
