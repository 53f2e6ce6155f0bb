// The life of an order: placed, paid, shipped, cancelled, amended, renumbered. Most of these write to
// checkout and to two or three other services at once.
#include <array>

#include <fmt/format.h>

#include "client.hpp"

namespace monolith {
namespace {

void add_event(Client& c, Transaction& tx, std::int64_t order, char const* code) {
    tx.put(Table::order_events,
           tx.run("INSERT INTO {order_events} (order_id, tenant_id, code, payload, occurred_at) "
                  "VALUES ($1, $2, $3, jsonb_build_object('by', 'workload', 'n', $4::bigint), $5) "
                  "RETURNING {=order_events}",
                  args(order, c.shop.tenant, code, tx.id().number, c.moment())));
}

// Adds to an account what may be negative.
void book(Client& c, Transaction& tx, char const* kind, int number, std::string_view amount,
          std::string const& payment) {
    auto const account =
        tx.run("UPDATE {ledger_accounts} SET balance = balance + $4::numeric, version = version + 1 "
               "WHERE tenant_id = $1 AND kind = $2 AND number = $3 RETURNING {=ledger_accounts}",
               args(c.shop.tenant, kind, number, amount));
    tx.put_versioned(Table::ledger_accounts, account);
    tx.put(Table::ledger_entries,
           tx.run("INSERT INTO {ledger_entries} (entry_id, account_id, tenant_id, payment_id, amount) "
                  "VALUES ($1, $2, $3, $4, $5) RETURNING {=ledger_entries}",
                  args(c.uuid(), account.text(0, 0), c.shop.tenant, payment, amount)));
}

// Changes the order with `change` (one of ours: locked, versioned, audited) and records it.
void update_order(Transaction& tx, std::int64_t order, char const* statement, std::vector<Value> parameters) {
    parameters.insert(parameters.begin(), arg(order));
    auto const rows = tx.run(statement, parameters);
    tx.put(Table::orders, rows);
    tx.audited("orders", rows.at(0, 0), 'U', rows.number(0, 12));
}

// Reserved goods of an order go back (shipped: leave the house).
void settle_reservations(Transaction& tx, std::int64_t order, bool shipped) {
    tx.put_versioned(
        Table::stock_levels,
        tx.run("UPDATE {stock_levels} SET reserved = reserved - r.taken, "
               "on_hand = on_hand - CASE WHEN $2::boolean THEN r.taken ELSE 0 END, version = version + 1 "
               "FROM (SELECT variant_id AS v, warehouse_id AS w, sum(quantity)::integer AS taken "
               "FROM {stock_reservations} WHERE order_id = $1 GROUP BY 1, 2) r "
               "WHERE variant_id = r.v AND warehouse_id = r.w RETURNING {=stock_levels}",
               args(order, shipped)));
}

std::optional<Effect> place_order(Client& c, Transaction& tx) {
    auto const at = c.some_customer(true);
    if (!at) {
        return std::nullopt;
    }
    auto const customer = c.customers[*at];
    auto const items = tx.run("SELECT i.variant_id, i.quantity, v.price FROM {cart_items} i "
                              "JOIN {product_variants} v USING (variant_id) WHERE i.cart_id = $1 ORDER BY 1",
                              args(customer.cart));
    if (items.empty()) {
        return std::nullopt;
    }
    std::vector<std::string> variants;
    std::vector<std::string> quantities;
    std::vector<std::string> prices;
    std::vector<std::string> uuids;
    for (int i = 0; i < items.size(); ++i) {
        variants.push_back(items.text(i, 0));
        quantities.push_back(items.text(i, 1));
        prices.push_back(items.text(i, 2));
        uuids.push_back(c.uuid());
    }
    auto const order = tx.run("INSERT INTO {orders} (tenant_id, customer_id, cart_id, reference, labels, "
                              "attributes, shipping_cost) "
                              "VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING order_id",
                              args(c.shop.tenant, customer.id, customer.cart,
                                   fmt::format("W-{}-{}", tx.id().client, tx.id().number),
                                   c.chance(50) ? "{}" : R"({gift,"a, b"})",
                                   c.chance(30) ? "{}" : R"({"channel": "web", "héllo": [1, 2.50, null]})",
                                   c.chance(50) ? "4.90" : "0"))
                           .number(0, 0);
    tx.audited("orders", std::to_string(order), 'I', 1);
    tx.put(Table::order_lines,
           tx.run("INSERT INTO {order_lines} (order_id, line_no, tenant_id, variant_id, position, quantity, "
                  "unit_price) "
                  "SELECT $1, n, $2, v, n, q, p FROM unnest($3::bigint[], $4::integer[], $5::numeric[]) "
                  "WITH ORDINALITY AS u(v, q, p, n) RETURNING {=order_lines}",
                  args(order, c.shop.tenant, array(variants), array(quantities), array(prices))));
    tx.put(
        Table::order_addresses,
        tx.run("INSERT INTO {order_addresses} (order_id, kind, tenant_id, address, country) "
               "VALUES ($1, 'shipping', $2, ROW($3, 'Köln', NULL, 'DE'), 'DE') RETURNING {=order_addresses}",
               args(order, c.shop.tenant, fmt::format("{} \"Ring\", back", c.below(500)))));
    if (c.chance(20)) {
        tx.put(Table::order_discounts,
               tx.run("INSERT INTO {order_discounts} (order_id, tenant_id, promotion_id, amount, note) "
                      "VALUES ($1, $2, NULL, $3, $4) RETURNING {=order_discounts}",
                      args(order, c.shop.tenant, c.below(5), c.chance(50) ? arg("") : arg(std::nullopt))));
    }
    add_event(c, tx, order, "created");
    tx.put(
        Table::stock_reservations,
        tx.run(
            "INSERT INTO {stock_reservations} (reservation_id, order_id, variant_id, warehouse_id, "
            "tenant_id, quantity) "
            "SELECT u, $1, v, $2, $3, q FROM unnest($4::uuid[], $5::bigint[], $6::integer[]) AS r(u, v, q) "
            "RETURNING {=stock_reservations}",
            args(order, c.shop.warehouse, c.shop.tenant, array(uuids), array(variants), array(quantities))));
    tx.put_versioned(Table::stock_levels,
                     tx.run("UPDATE {stock_levels} SET reserved = reserved + u.q, version = version + 1 "
                            "FROM unnest($1::bigint[], $2::integer[]) AS u(v, q) "
                            "WHERE variant_id = u.v AND warehouse_id = $3 RETURNING {=stock_levels}",
                            args(array(variants), array(quantities), c.shop.warehouse)));
    if (c.chance(60)) {
        tx.put(Table::carts,
               tx.run("UPDATE {carts} SET status = 'ordered', version = version + 1 WHERE cart_id = $1 "
                      "RETURNING {=carts}",
                      args(customer.cart)));
    } else { // items and sessions go with it, orders.cart_id becomes NULL
        tx.gone(Table::checkout_sessions,
                tx.run("SELECT token FROM {checkout_sessions} WHERE cart_id = $1", args(customer.cart)));
        tx.gone(Table::cart_items, tx.run("SELECT cart_id, variant_id FROM {cart_items} WHERE cart_id = $1",
                                          args(customer.cart)));
        tx.gone(Table::carts,
                tx.run("DELETE FROM {carts} WHERE cart_id = $1 RETURNING cart_id", args(customer.cart)));
    }
    update_order(
        tx, order,
        "UPDATE {orders} SET status = 'placed', placed_at = $2, version = version + 1 WHERE order_id = $1 "
        "RETURNING {=orders}",
        args(c.moment()));
    return [&c, order, at = *at] {
        c.customers[at].cart.clear();
        c.remember({order, OrderState::placed});
    };
}

std::optional<Effect> pay(Client& c, Transaction& tx) {
    auto const at = c.some_order(OrderState::placed);
    if (!at) {
        return std::nullopt;
    }
    auto const order = c.orders[*at].id;
    auto const total =
        tx.run("SELECT grand_total FROM {orders} WHERE order_id = $1 FOR UPDATE", args(order)).text(0, 0);
    auto const payment = c.uuid();
    tx.put(Table::payments, tx.run("INSERT INTO {payments} (payment_id, order_id, tenant_id, amount, status) "
                                   "VALUES ($1, $2, $3, $4, 'captured') RETURNING {=payments}",
                                   args(payment, order, c.shop.tenant, total)));
    book(c, tx, "wallet", static_cast<int>(c.below(Shop::wallets)), "-" + total, payment);
    book(c, tx, "merchant", static_cast<int>(c.below(Shop::merchants)), total, payment);
    add_event(c, tx, order, "paid");
    update_order(tx, order,
                 "UPDATE {orders} SET status = 'paid', paid_amount = grand_total, version = version + 1 "
                 "WHERE order_id = $1 RETURNING {=orders}",
                 {});
    return [&c, at = *at] { c.orders[at].state = OrderState::paid; };
}

std::optional<Effect> ship(Client& c, Transaction& tx) {
    auto const at = c.some_order(OrderState::paid);
    if (!at) {
        return std::nullopt;
    }
    auto const order = c.orders[*at].id;
    auto const shipment = c.uuid();
    tx.put(Table::shipments,
           tx.run("INSERT INTO {shipments} (shipment_id, order_id, tenant_id, carrier_code, tracking_code) "
                  "VALUES ($1, $2, $3, 'post', $4) RETURNING {=shipments}",
                  args(shipment, order, c.shop.tenant, fmt::format("T{}", c.below(1000000)))));
    tx.put(
        Table::shipment_items,
        tx.run("INSERT INTO {shipment_items} (shipment_id, line_no, tenant_id, variant_id, quantity) "
               "SELECT $1, line_no, tenant_id, variant_id, quantity FROM {order_lines} WHERE order_id = $2 "
               "RETURNING {=shipment_items}",
               args(shipment, order)));
    settle_reservations(tx, order, true);
    tx.gone(
        Table::stock_reservations,
        tx.run("DELETE FROM {stock_reservations} WHERE order_id = $1 RETURNING reservation_id", args(order)));
    add_event(c, tx, order, "shipped");
    update_order(tx, order,
                 "UPDATE {orders} SET status = 'shipped', version = version + 1 WHERE order_id = $1 "
                 "RETURNING {=orders}",
                 {});
    return [&c, at = *at] { c.orders[at].state = OrderState::shipped; };
}

// Pays back what was paid and deletes the order, which cascades far.
std::optional<Effect> cancel(Client& c, Transaction& tx) {
    auto const at = c.some_order(c.chance(50) ? OrderState::placed : OrderState::paid);
    if (!at) {
        return std::nullopt;
    }
    auto const order = c.orders[*at].id;
    tx.run("SELECT 1 FROM {orders} WHERE order_id = $1 FOR UPDATE", args(order));
    auto const payments = tx.run("UPDATE {payments} SET status = 'refunded' WHERE order_id = $1 "
                                 "RETURNING payment_id, amount",
                                 args(order));
    for (int i = 0; i < payments.size(); ++i) {
        book(c, tx, "merchant", static_cast<int>(c.below(Shop::merchants)), "-" + payments.text(i, 1),
             payments.text(i, 0));
        book(c, tx, "wallet", static_cast<int>(c.below(Shop::wallets)), payments.text(i, 1),
             payments.text(i, 0));
    }
    settle_reservations(tx, order, false);
    record_children(tx, order, true);
    auto const deleted =
        tx.run("DELETE FROM {orders} WHERE order_id = $1 RETURNING order_id, version", args(order));
    tx.gone(Table::orders, deleted);
    tx.audited("orders", std::to_string(order), 'D', deleted.number(0, 1));
    for (int i = 0; i < payments.size(); ++i) { // payments.order_id is NULL now
        tx.put(Table::payments,
               tx.run("SELECT {=payments} FROM {payments} WHERE payment_id = $1", args(payments.text(i, 0))));
    }
    return [&c, order] { c.forget_order(order); };
}

// One line's quantity (a trigger recomputes the order), and the positions of all lines turned round, which
// only works because their unique constraint is deferrable.
std::optional<Effect> amend(Client& c, Transaction& tx) {
    auto const at = c.some_order(OrderState::placed);
    if (!at) {
        return std::nullopt;
    }
    auto const order = c.orders[*at].id;
    tx.run("SELECT 1 FROM {orders} WHERE order_id = $1 FOR UPDATE", args(order));
    tx.run("UPDATE {order_lines} SET quantity = $2 WHERE order_id = $1 AND line_no = 1",
           args(order, 1 + c.below(9)));
    tx.put(Table::order_lines, tx.run("UPDATE {order_lines} SET position = (SELECT count(*) FROM "
                                      "{order_lines} o WHERE o.order_id = $1) "
                                      "+ 1 - position WHERE order_id = $1 RETURNING {=order_lines}",
                                      args(order)));
    update_order(tx, order,
                 "UPDATE {orders} SET version = version + 1 WHERE order_id = $1 RETURNING {=orders}", {});
    return [] {};
}

// The primary key itself changes, and ON UPDATE CASCADE carries it into eight tables.
std::optional<Effect> renumber(Client& c, Transaction& tx) {
    auto const at = c.some_order(std::nullopt);
    if (!at || c.orders[*at].id < 0) { // once only
        return std::nullopt;
    }
    auto const order = c.orders[*at].id;
    tx.gone(Table::orders,
            tx.run("SELECT order_id FROM {orders} WHERE order_id = $1 FOR UPDATE", args(order)));
    record_children(tx, order, true);
    update_order(tx, order,
                 "UPDATE {orders} SET order_id = -order_id, version = version + 1 WHERE order_id = $1 "
                 "RETURNING {=orders}",
                 {});
    record_children(tx, -order, false);
    tx.put(Table::payments, tx.run("SELECT {=payments} FROM {payments} WHERE order_id = $1", args(-order)));
    tx.put(Table::shipments,
           tx.run("SELECT {=shipments} FROM {shipments} WHERE order_id = $1", args(-order)));
    return [&c, at = *at, order] { c.orders[at].id = -order; };
}

std::optional<Effect> history(Client& c, Transaction& tx) {
    auto const at = c.some_order(std::nullopt);
    if (!at) {
        return std::nullopt;
    }
    auto const order = c.orders[*at].id;
    auto const moment = c.moment();
    switch (c.below(4)) {
    case 0: // most of these move to another partition
        tx.put(Table::order_events,
               tx.run("UPDATE {order_events} SET occurred_at = $2, payload = payload || "
                      "jsonb_build_object('moved', true) "
                      "WHERE event_id = (SELECT min(event_id) FROM {order_events} WHERE order_id = $1) "
                      "RETURNING {=order_events}",
                      args(order, moment)));
        break;
    case 1:
        tx.gone(
            Table::order_events,
            tx.run("DELETE FROM {order_events} WHERE order_id = $1 AND code = 'remark' RETURNING event_id",
                   args(order)));
        add_event(c, tx, order, "packed");
        break;
    case 2:
        if (c.shop.direct_partitions) {
            auto const statement =
                fmt::format("INSERT INTO {{order_events_2025_{}}} (order_id, tenant_id, code, occurred_at) "
                            "VALUES ($1, $2, 'remark', $3) RETURNING {{=order_events}}",
                            moment.substr(5, 2));
            tx.put(Table::order_events, tx.run(statement, args(order, c.shop.tenant, moment)));
            break;
        }
        [[fallthrough]];
    default:
        add_event(c, tx, order, "remark");
    }
    return [] {};
}

std::array const kinds = {
    Kind{"place_order", 20, place_order},
    Kind{"pay", 12, pay},
    Kind{"ship", 6, ship},
    Kind{"cancel", 5, cancel},
    Kind{"amend", 4, amend},
    Kind{"renumber", 1, renumber},
    Kind{"history", 6, history},
};

} // namespace

std::span<Kind const> order_kinds() {
    return kinds;
}

} // namespace monolith
