// The part of lint's proof that concerns running syncs: the same mirror and the same stream as in production are made on
// the scratch server, by the code that makes them there, and tried with rows before and after the change.
//
// Only syncs whose source is in the shared database are made: the way forth, not the way back.
// Errors: none of its own; what cannot be made or tried is told as such.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/interrupt.hpp"
#include "lint/proof.hpp"
#include "model/boundary.hpp"
#include "model/sync_state.hpp"
#include "pg/session.hpp"

namespace pgcarve::run {

class ScratchSync {
public:
    // `dsn`: the database with the base; `other`: an empty one, for the targets of streams.
    ScratchSync(std::string dsn, std::string other, base::Interrupt& interrupt);

    // Makes the syncs of these tables, with a few rows in them.
    void set_up(std::vector<model::SyncedTable> const& tables);
    // Writes to every source and compares.
    [[nodiscard]] std::vector<lint::SyncTried> try_out();

private:
    struct Pair {
        model::SyncedTable table;
        bool ready = false;     // the sync runs, and rows can be made
        std::string trouble{};  // why not
    };
    void make(std::string const& service, model::KeptBy by);
    void fill(Pair& pair);
    [[nodiscard]] lint::SyncTried try_out(Pair const& pair);
    [[nodiscard]] std::string write(Pair const& pair, bool& broken);

    std::string dsn_;
    std::string other_;
    base::Interrupt& interrupt_;
    std::vector<Pair> pairs_;
    std::map<std::pair<std::string, model::KeptBy>, std::unique_ptr<model::BoundaryMap>> maps_;
    int made_ = 0; // rows: no two alike
};

} // namespace pgcarve::run
