// The other database's side of a database hop: which steps were done there, and the tables as the stream sees them.
#pragma once

#include <string>
#include <vector>

#include "model/catalog.hpp"
#include "model/plan.hpp"
#include "pg/session.hpp"
#include "sync/mapping.hpp"

namespace pgcarve::run {

// Steps are journaled where they happen: a step and its line, with what takes it back, commit together in
// pgcarve.step of the other database.
class TargetSteps {
public:
    TargetSteps(pg::SessionSettings settings, std::string stream);
    void run(model::Step const& step); // nothing, when it was done before
    void cancel() noexcept { target_.cancel(); } // what runs; from any thread
    // Takes back what was done, last first, and the record with it; the schema pgcarve too when no stream is left.
    void undo();
    // Forgets the record, so that what was made stays; the schema pgcarve goes when nothing else is in it.
    void forget();

private:
    void drop_schema_when_empty();

    pg::Session target_;
    std::string stream_;
};

// The leaves of the tables, column by column, as both sides have them now; referenced tables before those that refer to
// them. `catalog`: the source's.
[[nodiscard]] std::vector<sync::MappedTable> mapped_tables(pg::Session& source, pg::Session& target, model::Catalog const& catalog,
                                                           std::vector<model::TablePair> const& pairs);

} // namespace pgcarve::run
