#include "client.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace monolith {

Client::Client(Shop const& the_shop, std::uint64_t seed, int number)
    : shop{the_shop}
    , random{seed * 1000003U + static_cast<std::uint64_t>(the_shop.tenant) * 1009U +
             static_cast<std::uint64_t>(number)} {}

std::int64_t Client::below(std::int64_t limit) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(std::max<std::int64_t>(limit, 1)));
}

std::string Client::uuid() {
    auto const high = random();
    auto const low = random();
    return fmt::format("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", high >> 32U, (high >> 16U) & 0xffffU,
                       high & 0xfffU, low >> 52U, low & 0xffffffffffffU);
}

std::string Client::moment() {
    return fmt::format("2025-{:02}-{:02} {:02}:{:02}:{:02}+00", 1 + below(12), 1 + below(28), below(24),
                       below(60), below(60));
}

std::optional<std::size_t> Client::some_customer(bool with_cart) {
    for (int i = 0; i < 10 && !customers.empty(); ++i) {
        auto const at = static_cast<std::size_t>(below(static_cast<std::int64_t>(customers.size())));
        if (!with_cart || !customers[at].cart.empty()) {
            return at;
        }
    }
    return std::nullopt;
}

std::optional<std::size_t> Client::some_order(std::optional<OrderState> state) {
    for (int i = 0; i < 10 && !orders.empty(); ++i) {
        auto const at = static_cast<std::size_t>(below(static_cast<std::int64_t>(orders.size())));
        if (!state || orders[at].state == *state) {
            return at;
        }
    }
    return std::nullopt;
}

void Client::remember(Order order) {
    constexpr std::size_t limit = 1000; // older ones stay in the database and in the ledger, untouched
    if (orders.size() >= limit) {
        orders[static_cast<std::size_t>(below(static_cast<std::int64_t>(limit)))] = order;
    } else {
        orders.push_back(order);
    }
}

void Client::forget_order(std::int64_t id) {
    orders.erase(std::remove_if(orders.begin(), orders.end(), [id](Order const& o) { return o.id == id; }),
                 orders.end());
}

void Client::forget_everything() {
    customers.clear();
    orders.clear();
}

std::vector<Kind> const& mix() {
    static std::vector<Kind> const kinds = [] {
        std::vector<Kind> all;
        for (auto const group : {backstage_kinds(), cart_kinds(), order_kinds()}) {
            all.insert(all.end(), group.begin(), group.end());
        }
        return all;
    }();
    return kinds;
}

void record_children(Transaction& tx, std::int64_t order, bool deleted) {
    struct Child {
        Table table;
        char const* query;
    };
    static constexpr Child children[] = {
        {Table::order_lines, "SELECT {=order_lines} FROM {order_lines} WHERE order_id = $1"},
        {Table::order_addresses, "SELECT {=order_addresses} FROM {order_addresses} WHERE order_id = $1"},
        {Table::order_discounts, "SELECT {=order_discounts} FROM {order_discounts} WHERE order_id = $1"},
        {Table::order_notes, "SELECT {=order_notes} FROM {order_notes} WHERE order_id = $1"},
        {Table::order_events, "SELECT {=order_events} FROM {order_events} WHERE order_id = $1"},
        {Table::stock_reservations,
         "SELECT {=stock_reservations} FROM {stock_reservations} WHERE order_id = $1"},
    };
    for (auto const& child : children) {
        auto const rows = tx.run(child.query, args(order));
        if (deleted) {
            tx.gone(child.table, rows);
        } else {
            tx.put(child.table, rows);
        }
    }
}

} // namespace monolith
