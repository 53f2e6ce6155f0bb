// What is not a purchase: opening the shop, customers, prices, reports, notes, and the orders that were
// there before.
#include <array>

#include <fmt/format.h>

#include "client.hpp"

namespace monolith {

Shop open_shop(Transaction& tx, std::string const& slug) {
    Shop shop;
    shop.tenant = static_cast<int>(tx.run(fmt::format("INSERT INTO {{tenants}} (slug, name, country) VALUES "
                                                      "('{}', 'workload', 'DE') RETURNING tenant_id",
                                                      slug))
                                       .number(0, 0));
    shop.warehouse = static_cast<int>(
        tx.run(fmt::format(
                   "INSERT INTO {{warehouses}} (code, country) VALUES ('{}', 'DE') RETURNING warehouse_id",
                   slug))
            .number(0, 0));
    tx.run(fmt::format(
        "INSERT INTO {{report_definitions}} (report_code, title, query) VALUES ('workload-{}', 'load', '')",
        shop.tenant));
    auto const product =
        tx.run("INSERT INTO {products} (tenant_id, name) VALUES ($1, 'thing') RETURNING product_id",
               args(shop.tenant))
            .number(0, 0);
    auto const variants = tx.run(
        "INSERT INTO {product_variants} (product_id, tenant_id, sku, price) "
        "SELECT $1, $2, 'W-' || g, 1 + g * 0.37 FROM generate_series(1, 120) g RETURNING {=product_variants}",
        args(product, shop.tenant));
    tx.put_versioned(Table::product_variants, variants);
    for (int i = 0; i < variants.size(); ++i) {
        shop.variants.push_back(variants.text(i, 0));
    }
    tx.put_versioned(
        Table::stock_levels,
        tx.run("INSERT INTO {stock_levels} (variant_id, warehouse_id, tenant_id, on_hand) "
               "SELECT v, $2, $3, 100000000 FROM unnest($1::bigint[]) v RETURNING {=stock_levels}",
               args(array(shop.variants), shop.warehouse, shop.tenant)));
    tx.put_versioned(Table::ledger_accounts,
                     tx.run("INSERT INTO {ledger_accounts} (tenant_id, kind, number, balance) "
                            "SELECT $1, k, n, CASE k WHEN 'wallet' THEN 1000 ELSE 0 END FROM (VALUES "
                            "('wallet', $2::integer), "
                            "('merchant', $3::integer)) AS a(k, many), generate_series(0, many - 1) n "
                            "RETURNING {=ledger_accounts}",
                            args(shop.tenant, Shop::wallets, Shop::merchants)));
    shop.total = tx.run("SELECT sum(balance) FROM {ledger_accounts} WHERE tenant_id = $1", args(shop.tenant))
                     .text(0, 0);
    // What the seed made: orders with a reference like A-1 (their keys are 1, 2, …), carts keyed by md5.
    shop.seeded_orders = tx.run("SELECT coalesce(max(substr(reference, 3)::bigint), 0) FROM {orders} WHERE "
                                "reference LIKE 'A-%'")
                             .number(0, 0);
    shop.seeded_carts = shop.seeded_orders * 2 / 5;
    return shop;
}

namespace {

std::optional<Effect> sign_up(Client& c, Transaction& tx) {
    auto const uuid = c.uuid();
    auto const customer =
        tx.run("INSERT INTO {customers} (public_id, tenant_id, email, name, tags, preferences) VALUES ($1, "
               "$2, $3, $4, $5, $6) "
               "RETURNING {=customers}",
               args(uuid, c.shop.tenant, uuid + "@mail.example", fmt::format("Zoë {}", tx.id().number),
                    c.chance(50) ? "{new}" : "{}", R"({"newsletter": true})"));
    tx.put(Table::customers, customer);
    tx.audited("customers", customer.at(0, 0), 'I', 1);
    tx.put(Table::customer_addresses,
           tx.run("INSERT INTO {customer_addresses} (customer_id, kind, tenant_id, address, country) "
                  "VALUES ($1, 'billing', $2, ROW('1 Main', 'Paris', '75001', 'FR'), 'FR') "
                  "RETURNING {=customer_addresses}",
                  args(customer.text(0, 0), c.shop.tenant)));
    return [&c, id = customer.number(0, 0)] {
        constexpr std::size_t limit = 400;
        if (c.customers.size() < limit) {
            c.customers.push_back({id, ""});
        } else {
            c.customers[static_cast<std::size_t>(c.below(static_cast<std::int64_t>(limit)))] = {id, ""};
        }
    };
}

std::optional<Effect> change_profile(Client& c, Transaction& tx) {
    auto const at = c.some_customer(false);
    if (!at) {
        return std::nullopt;
    }
    auto const customer =
        tx.run("UPDATE {customers} SET preferences = preferences || jsonb_build_object('seen', $2::bigint), "
               "version = version + 1 WHERE customer_id = $1 RETURNING {=customers}",
               args(c.customers[*at].id, tx.id().number));
    tx.put(Table::customers, customer);
    tx.audited("customers", customer.at(0, 0), 'U', customer.number(0, 6));
    return [] {};
}

// Carts, items and sessions cascade; the customer's orders stay, without a customer.
std::optional<Effect> delete_customer(Client& c, Transaction& tx) {
    auto const at = c.some_customer(false);
    if (!at) {
        return std::nullopt;
    }
    auto const id = c.customers[*at].id;
    auto const locked = tx.run("SELECT version FROM {customers} WHERE customer_id = $1 FOR UPDATE", args(id));
    tx.gone(Table::customer_addresses,
            tx.run("SELECT customer_id, kind FROM {customer_addresses} WHERE customer_id = $1", args(id)));
    tx.gone(
        Table::checkout_sessions,
        tx.run("SELECT token FROM {checkout_sessions} JOIN {carts} USING (cart_id) WHERE customer_id = $1",
               args(id)));
    tx.gone(Table::cart_items, tx.run("SELECT cart_id, variant_id FROM {cart_items} JOIN {carts} USING "
                                      "(cart_id) WHERE customer_id = $1",
                                      args(id)));
    tx.gone(Table::carts, tx.run("SELECT cart_id FROM {carts} WHERE customer_id = $1", args(id)));
    auto const orders = tx.run("SELECT order_id FROM {orders} WHERE customer_id = $1", args(id));
    tx.gone(Table::customers,
            tx.run("DELETE FROM {customers} WHERE customer_id = $1 RETURNING customer_id", args(id)));
    tx.audited("customers", std::to_string(id), 'D', locked.number(0, 0));
    for (int i = 0; i < orders.size(); ++i) { // customer_id, and perhaps cart_id, are NULL now
        tx.put(Table::orders,
               tx.run("SELECT {=orders} FROM {orders} WHERE order_id = $1", args(orders.text(i, 0))));
    }
    return [&c, at = *at] { c.customers.erase(c.customers.begin() + static_cast<std::ptrdiff_t>(at)); };
}

std::optional<Effect> touch_prices(Client& c, Transaction& tx) {
    auto const variants =
        tx.run("UPDATE {product_variants} SET price = 1 + (price * 1.07) % 90, version = version + 1 "
               "WHERE tenant_id = $1 AND variant_id % 20 = $2 RETURNING {=product_variants}",
               args(c.shop.tenant, c.below(20)));
    tx.put_versioned(Table::product_variants, variants);
    for (int i = 0; i < variants.size(); ++i) {
        tx.audited("product_variants", variants.at(i, 0), 'U', variants.number(i, 3));
    }
    return [] {};
}

std::optional<Effect> roll_up(Client& c, Transaction& tx) {
    auto const day = c.moment().substr(0, 10);
    auto const sales = tx.read("SELECT count(*), coalesce(sum(grand_total), 0) FROM {orders} "
                               "WHERE tenant_id = $1 AND (placed_at AT TIME ZONE 'UTC')::date = $2::date",
                               args(c.shop.tenant, day));
    tx.put_versioned(
        Table::sales_daily,
        tx.run("INSERT INTO {sales_daily} AS s (tenant_id, day, orders_placed, revenue) "
               "VALUES ($1, $2::date, $3::bigint, $4::numeric) "
               "ON CONFLICT (tenant_id, day) DO UPDATE SET orders_placed = EXCLUDED.orders_placed, "
               "revenue = EXCLUDED.revenue, version = s.version + 1 RETURNING {=sales_daily}",
               args(c.shop.tenant, day, sales.text(0, 0), sales.text(0, 1))));
    return [] {};
}

std::optional<Effect> run_report(Client& c, Transaction& tx) {
    tx.put(Table::report_runs,
           tx.run("INSERT INTO {report_runs} (report_code, seconds, output) "
                  "VALUES ($1, $2::text::double precision / 7, sha256(convert_to($2::text, 'UTF8'))) "
                  "RETURNING {=report_runs}",
                  args(fmt::format("workload-{}", c.shop.tenant), std::to_string(c.below(1000)))));
    return [] {};
}

// Notes on an order, with savepoints: one note is rolled back and must not be found, one statement fails.
std::optional<Effect> take_notes(Client& c, Transaction& tx) {
    auto const at = c.some_order(std::nullopt);
    if (!at) {
        return std::nullopt;
    }
    auto const order = c.orders[*at].id;
    static constexpr char const* insert =
        "INSERT INTO {order_notes} (note_id, order_id, tenant_id, reply_to, body, internal) "
        "VALUES ($1, $2, $3, $4, $5, $6) RETURNING {=order_notes}";
    auto const first = c.uuid();
    tx.put(Table::order_notes,
           tx.run(insert,
                  args(first, order, c.shop.tenant, std::nullopt,
                       c.chance(10) ? std::string(9000, 'x') : std::string{"first\nline"}, c.chance(50))));
    tx.run("SAVEPOINT a");
    tx.run(insert, args(c.uuid(), order, c.shop.tenant, first, "never happened", true));
    tx.run("ROLLBACK TO SAVEPOINT a");
    try {
        tx.run(insert, args(first, order, c.shop.tenant, std::nullopt, "the same key again", false));
    } catch (SqlError const& e) {
        if (e.sqlstate != "23505") {
            throw;
        }
        tx.run("ROLLBACK TO SAVEPOINT a");
    }
    tx.put(Table::order_notes, tx.run(insert, args(c.uuid(), order, c.shop.tenant, first, "", false)));
    tx.run("RELEASE SAVEPOINT a");
    return [] {};
}

// One statement, many rows.
std::optional<Effect> label_orders(Client& c, Transaction& tx) {
    std::vector<std::string> ids;
    auto const start = c.some_order(std::nullopt);
    for (auto i = start.value_or(0); i < c.orders.size() && ids.size() < 40; ++i) {
        ids.push_back(std::to_string(c.orders[i].id));
    }
    if (ids.empty()) {
        return std::nullopt;
    }
    auto const orders = tx.run("UPDATE {orders} SET labels = labels[1:2] || $2::text, version = version + 1 "
                               "WHERE order_id = ANY ($1::bigint[]) RETURNING {=orders}",
                               args(array(ids), fmt::format("batch {}", tx.id().number)));
    tx.put(Table::orders, orders);
    for (int i = 0; i < orders.size(); ++i) {
        tx.audited("orders", orders.at(i, 0), 'U', orders.number(i, 12));
    }
    return [] {};
}

// Orders that were there before, shared by all clients: ranked by their version.
std::optional<Effect> touch_seeded_order(Client& c, Transaction& tx) {
    auto const id = 1 + c.below(c.shop.seeded_orders);
    if (tx.run("SELECT 1 FROM {orders} WHERE order_id = $1 AND reference LIKE 'A-%' FOR UPDATE", args(id))
            .empty()) {
        return [] {}; // deleted
    }
    auto const lines = tx.run("UPDATE {order_lines} SET quantity = 1 + (quantity + $2) % 40 WHERE order_id = "
                              "$1 RETURNING {=order_lines}",
                              args(id, c.below(7)));
    auto const order = tx.run(
        "UPDATE {orders} SET attributes = jsonb_build_object('touched', $2::bigint), version = version + 1 "
        "WHERE order_id = $1 RETURNING {=orders}",
        args(id, tx.id().number));
    auto const version = order.number(0, 12);
    tx.put_versioned(Table::orders, order);
    tx.audited("orders", order.at(0, 0), 'U', version, true);
    tx.put_under(Table::order_lines, lines, version);
    tx.put_under(
        Table::order_notes,
        tx.run(
            "UPDATE {order_notes} SET internal = NOT internal WHERE order_id = $1 RETURNING {=order_notes}",
            args(id)),
        version);
    tx.put_under(Table::order_events,
                 tx.run("UPDATE {order_events} SET occurred_at = $2 WHERE order_id = $1 AND code = 'created' "
                        "RETURNING {=order_events}",
                        args(id, c.moment())),
                 version);
    return [] {};
}

std::optional<Effect> delete_seeded_order(Client& c, Transaction& tx) {
    auto const id = 1 + c.below(c.shop.seeded_orders);
    auto const order =
        tx.run("SELECT order_id, version FROM {orders} WHERE order_id = $1 AND reference LIKE 'A-%' "
               "AND status IN ('draft', 'placed') FOR UPDATE",
               args(id));
    if (order.empty()) {
        return [] {};
    }
    auto const rank = order.number(0, 1) + 1;
    for (auto const table : {Table::order_lines, Table::order_addresses, Table::order_discounts,
                             Table::order_notes, Table::order_events}) {
        auto const& name = spec(table).name;
        tx.gone_under(
            table,
            tx.run(fmt::format("SELECT {{={}}} FROM {{{}}} WHERE order_id = $1", name, name), args(id)),
            rank);
    }
    tx.run("DELETE FROM {orders} WHERE order_id = $1", args(id));
    tx.gone_under(Table::orders, order, rank);
    tx.audited("orders", std::to_string(id), 'D', rank - 1, true);
    return [] {};
}

std::array const kinds = {
    Kind{"sign_up", 8, sign_up},
    Kind{"change_profile", 2, change_profile},
    Kind{"delete_customer", 2, delete_customer},
    Kind{"touch_prices", 1, touch_prices},
    Kind{"roll_up", 4, roll_up, false, "reporting"},
    Kind{"run_report", 4, run_report, false, "reporting"},
    Kind{"take_notes", 4, take_notes},
    Kind{"label_orders", 1, label_orders},
    Kind{"touch_seeded_order", 6, touch_seeded_order},
    Kind{"delete_seeded_order", 1, delete_seeded_order},
};

} // namespace

std::span<Kind const> backstage_kinds() {
    return kinds;
}

} // namespace monolith
