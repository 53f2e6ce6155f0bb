// The third witness of lint: runs a change set on a server that may be thrown away, and reports what the server did.
//
// A database is made for it and dropped at the end. The base (Input::schema) is run first; what fails there is told and
// passed over, as is a file of the change set from the statement that fails on. Tables that the base made are the ones
// whose locks, rewrites and scans count. Their being empty changes none of these.
//
// The session's TimeZone is not UTC, so that a change which is free in UTC alone shows as the rewrite that it can be.
//
// Errors: "unreachable", "server-lost" (exit 4); SqlError where the server refuses a database.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/interrupt.hpp"
#include "lint/proof.hpp"

namespace pgcarve::run {

struct ScratchRequest {
    std::string dsn;         // of the throw-away server, with the right to make databases
    bool make_roles = false; // roles that statements ask for are made: they belong to the whole server
    // Fills the empty database before the base, when set: from a dump.
    std::function<void(std::string const& dsn)> load = {};
};

struct ScratchResult {
    std::vector<lint::Observed> observed;
    std::vector<lint::Unproven> unproven;
    std::vector<lint::SyncTried> syncs;
    std::vector<lint::RewriteTried> rewrites;
};

// `rewrites` are run in a second database, each in the place of its statement.
[[nodiscard]] ScratchResult run_on_scratch(ScratchRequest const& request, lint::Input const& input, base::Interrupt& interrupt,
                                           std::vector<lint::Rewrite> const& rewrites = {});

} // namespace pgcarve::run
