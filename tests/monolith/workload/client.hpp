// What a client of the workload remembers between transactions, and the transactions it can choose from.
//
// A transaction function runs inside a begun transaction, records what it wrote, and answers with what to
// remember once the commit is acknowledged; nullopt when there is nothing for it to work on now. It may
// run again from the start (a retry), so it changes no state of its own.
//
// Threads: a Client belongs to one thread; the Shop is constant once opened.
#pragma once

#include <functional>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "session.hpp"

namespace monolith {

// The tenant that one run of the workload makes for itself, and the seeded rows that it may touch too.
struct Shop {
    int tenant = 0;
    int warehouse = 0;
    std::vector<std::string> variants;
    std::string total; // money in all accounts of the tenant
    std::int64_t seeded_orders = 0;
    std::int64_t seeded_carts = 0;
    bool direct_partitions = true; // also write to partitions by their own name

    static constexpr int wallets = 40;
    static constexpr int merchants = 4;
};

// Makes the tenant with its goods and accounts. One transaction, recorded and committed by the caller.
[[nodiscard]] Shop open_shop(Transaction& tx, std::string const& slug);

enum class OrderState { placed, paid, shipped };

struct Order {
    std::int64_t id;
    OrderState state;
};

struct Customer {
    std::int64_t id;
    std::string cart; // "" when it has none open
};

class Client {
public:
    Client(Shop const& shop, std::uint64_t seed, int number);

    Shop const& shop;
    std::mt19937_64 random;
    std::vector<Customer> customers;
    std::vector<Order> orders;

    [[nodiscard]] std::int64_t below(std::int64_t limit); // 0 … limit-1
    [[nodiscard]] bool chance(int percent) { return below(100) < percent; }
    [[nodiscard]] std::string uuid();
    [[nodiscard]] std::string moment(); // some second of 2025, as the server prints it
    // An index, or nullopt.
    [[nodiscard]] std::optional<std::size_t> some_customer(bool with_cart);
    [[nodiscard]] std::optional<std::size_t> some_order(std::optional<OrderState> state);
    void remember(Order order);
    void forget_order(std::int64_t id);
    void forget_everything(); // after a commit in doubt: none of our rows is known for sure
};

using Effect = std::function<void()>;

struct Kind {
    std::string name;
    int weight;
    std::optional<Effect> (*run)(Client&, Transaction&);
    bool autocommit = false; // sends its one statement by Transaction::autocommit
    std::string service{};   // that it writes to alone, so that it can follow that into another database
};

// The whole mix; the first is the one that is always possible.
[[nodiscard]] std::vector<Kind> const& mix();

[[nodiscard]] std::span<Kind const> order_kinds();     // orders.cpp
[[nodiscard]] std::span<Kind const> cart_kinds();      // carts.cpp
[[nodiscard]] std::span<Kind const> backstage_kinds(); // backstage.cpp

// Records the rows that hang on an order of our own (deleted: as about to go with it).
void record_children(Transaction& tx, std::int64_t order, bool deleted);

} // namespace monolith
