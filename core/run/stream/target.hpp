// The other database's side of a database hop: which steps were done there, and the tables as the stream sees them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/catalog.hpp"
#include "model/plan.hpp"
#include "pg/retry.hpp"
#include "pg/session.hpp"
#include "sync/mapping.hpp"

namespace pgcarve::run {

// Steps are journaled where they happen: a step and its line, with what takes it back, commit together in
// pgcarve.step of the other database. Lines are of the stream, or of one attempt of a verb on it.
class TargetSteps {
public:
    TargetSteps(pg::SessionSettings settings, std::string stream);

    using OnWait = std::function<void(int, std::vector<pg::Blocker> const&)>;
    // Nothing, when it was done before. Locks are waited for briefly, again and again.
    void run(model::Step const& step, OnWait const& on_wait);
    [[nodiscard]] bool done(std::string const& step);
    // For a step whose statements the caller runs itself: its line, in the caller's transaction on session().
    void record(model::Step const& step);
    // Takes one step back and forgets it; nothing, when it was not done.
    void undo(std::string const& step);
    // Forgets the lines whose step begins so.
    void forget_lines(std::string const& prefix);

    void cancel() noexcept { target_.cancel(); } // what runs; from any thread
    // Takes back everything, last first, and the record with it; the schema pgcarve too when no stream is left.
    void undo();
    // Forgets the record, so that what was made stays; the schema pgcarve goes when nothing else is in it.
    void forget();

    [[nodiscard]] pg::Session& session() noexcept { return target_; }

private:
    bool insert(model::Step const& step);
    void drop_schema_when_empty();

    pg::Session target_;
    std::string stream_;
};

// Which side takes writes, as the other database has it recorded: "shared" or "database". nullopt: it does not know the stream.
[[nodiscard]] std::optional<std::string> authority_recorded(pg::Session& other, std::string const& stream);

// A column is added at the target first, so that no row of it has to wait. A stream goes on without it, as long as rows can
// come without it and it is plain that the source has not dropped it; nothing is proven or moved before both sides have it.
enum class TargetFirst { refused, accepted };

// The leaves of the tables, column by column, as both sides have them now; referenced tables before those that refer to
// them. `catalog`: the source's.
// Throws "schema-changed" (exit 5) with the SQL that brings them together.
[[nodiscard]] std::vector<sync::MappedTable> mapped_tables(pg::Session& source, pg::Session& target, model::Catalog const& catalog,
                                                           std::vector<model::TablePair> const& pairs, TargetFirst first);

} // namespace pgcarve::run
