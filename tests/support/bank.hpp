// A witness for tests in which everything fails: clients that write wherever writes are taken, and a ledger of what they
// were told, kept outside the databases.
//
// Every transaction is numbered and leaves its number in the table turns, so that one whose commit was in doubt is judged
// by whether its number is there. What the tables must hold follows from the numbers alone: balances, versions (one for
// each transfer that touched the account), rows, and nothing else. Shares no code with pgcarve on purpose.
//
// Threads: each client has one; the public calls are for one other thread.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <libpq-fe.h>

namespace pgcarve::test {

struct BankSide {
    std::string dsn;
    std::string schema;
};

class Bank {
public:
    // The tables and their first rows, to be run in the shared schema's database.
    [[nodiscard]] static std::string schema_sql(std::string const& schema);
    static std::vector<std::string> tables() { return {"accounts", "transfers", "turns", "labels", "bulk", "events"}; }

    // Client i of `clients` begins at the first side and goes on to the other when it is refused there.
    Bank(std::vector<BankSide> sides, int clients, unsigned seed);
    Bank(Bank const&) = delete;
    Bank& operator=(Bank const&) = delete;
    ~Bank();

    // A prepared transaction, committed later by whoever calls: an ordinary turn of a client of its own.
    struct Prepared {
        std::string id;
        long long turn = 0;
    };
    void record_prepared(long long turn, bool committed);

    void stop(); // waits for the clients
    [[nodiscard]] long long acknowledged() const { return acknowledged_; }
    [[nodiscard]] long long refused() const { return refused_; } // by a side that has not the authority
    [[nodiscard]] std::string problem();                         // an answer that no client may get; empty: none

    // What differs at this side from what was acknowledged; empty when nothing does. After stop().
    [[nodiscard]] std::string differences(BankSide const& side) const;

    static constexpr int accounts = 60;
    static constexpr long long first_balance = 1000;
    static constexpr int preparer = 99; // the client number of prepared transactions

private:
    enum class Outcome { acknowledged, refused, in_doubt };
    enum class Kind { transfer, withdraw, label, bulk, bulk_away, event };
    struct Turn {
        Kind kind = Kind::transfer;
        int from = 0, to = 0, amount = 0; // transfer
        long long of = 0;                 // withdraw, bulk_away: the turn whose rows go
        Outcome outcome = Outcome::in_doubt;
    };
    struct Client {
        int number = 0;
        std::mt19937 random;
        std::size_t side = 0;
        std::vector<Turn> turns; // index 0 is turn 1
        std::vector<long long> own_transfers, own_bulks; // acknowledged and still there
        std::unique_ptr<PGconn, void (*)(PGconn*)> connections[2] = {{nullptr, &PQfinish}, {nullptr, &PQfinish}};
        std::thread thread;
    };

    void loop(Client& client);
    void one(Client& client, long long number);
    Turn choose(Client& client) const;
    [[nodiscard]] static std::vector<std::string> statements(Client const& client, Turn const& turn, long long number, std::string const& schema);
    void settle(Client& client, Turn const& turn, long long number);
    void complain(std::string what);

    std::vector<BankSide> sides_;
    std::vector<std::unique_ptr<Client>> clients_;
    std::map<long long, bool> prepared_;
    std::atomic<bool> stop_{false};
    std::atomic<long long> acknowledged_{0};
    std::atomic<long long> refused_{0};
    std::mutex mutex_;
    std::string problem_;
};

} // namespace pgcarve::test
