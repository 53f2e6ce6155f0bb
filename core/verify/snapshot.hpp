// A moment of one database: a snapshot that other sessions can import for as long as this lives.
//
// `horizon`: transactions with this number and later ones may not be seen in it; all earlier ones are.
//
// Errors: pg::SqlError. Threads: as a session.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/types.hpp"
#include "pg/session.hpp"

namespace pgcarve::verify {

class Snapshot {
public:
    explicit Snapshot(pg::SessionSettings const& settings);

    std::string id; // for SET TRANSACTION SNAPSHOT
    std::string time; // ISO 8601 with zone
    base::Lsn lsn{};
    std::uint64_t horizon = 0;
    std::uint64_t next = 0; // the first number that was not given out yet
    std::chrono::steady_clock::time_point taken;

private:
    pg::Session session_;
    pg::Transaction transaction_;
};

} // namespace pgcarve::verify
