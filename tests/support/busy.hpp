// A client of an application with a statement under way: pgcarve sees the server at other work.
#pragma once

#include <stdexcept>
#include <thread>

#include "support/server.hpp"

namespace pgcarve::test {

class Busy {
public:
    // Returns when others see it active.
    Busy(Server const& server, std::string const& database) : session_{server.connect(database)} {
        session_.run("SET application_name = 'shop'"); // else it passes for one of pgcarve's own
        auto const pid = session_.one(sql::Sql{"SELECT pg_backend_pid()::text AS pid"}).text("pid");
        thread_ = std::thread{[this] {
            try {
                session_.run("SELECT pg_sleep(3600)");
            } catch (pg::SqlError const&) { // NOLINT(bugprone-empty-catch)
                // Cancelled: it is over.
            }
        }};
        auto watcher = server.connect(database);
        bool const active = wait_until([&] {
            return watcher.one(sql::Sql{"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid = "}.bind(pid).add("::int4) AS yes")).boolean("yes");
        });
        if (!active) {
            end();
            throw std::runtime_error{"a busy session that never was"};
        }
    }
    Busy(Busy const&) = delete;
    Busy& operator=(Busy const&) = delete;
    ~Busy() { end(); }

private:
    void end() {
        session_.cancel();
        thread_.join();
    }

    pg::Session session_;
    std::thread thread_;
};

} // namespace pgcarve::test
