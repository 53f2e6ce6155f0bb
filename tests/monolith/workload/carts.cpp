// Carts and their checkout sessions, seeded ones too: upserts, single-statement transactions, COPY.
#include <array>

#include <fmt/format.h>

#include "client.hpp"

namespace monolith {
namespace {

std::string const& some_variant(Client& c) {
    return c.shop
        .variants[static_cast<std::size_t>(c.below(static_cast<std::int64_t>(c.shop.variants.size())))];
}

constexpr char const* upsert_item = "INSERT INTO {cart_items} AS i (cart_id, variant_id, tenant_id, "
                                    "quantity, gift_message) VALUES ($1, $2, $3, $4, $5) "
                                    "ON CONFLICT (cart_id, variant_id) DO UPDATE SET quantity = "
                                    "EXCLUDED.quantity, gift_message = EXCLUDED.gift_message "
                                    "RETURNING {=cart_items}";

Value gift_message(Client& c) {
    return c.chance(50)   ? arg(std::nullopt)
           : c.chance(30) ? arg("")
                          : arg(fmt::format("for \\you\\ ♥\n№ {}", c.below(1000)));
}

// Opens a cart for a customer who has none, then puts goods in and takes some out.
std::optional<Effect> fill_cart(Client& c, Transaction& tx) {
    auto const at = c.some_customer(false);
    if (!at) {
        return std::nullopt;
    }
    auto cart = c.customers[*at].cart;
    if (cart.empty()) {
        cart = c.uuid();
        tx.put(Table::carts,
               tx.run("INSERT INTO {carts} (cart_id, tenant_id, customer_id) VALUES ($1, $2, $3) "
                      "RETURNING {=carts}",
                      args(cart, c.shop.tenant, c.customers[*at].id)));
    } else {
        tx.put(Table::carts,
               tx.run("UPDATE {carts} SET version = version + 1 WHERE cart_id = $1 RETURNING {=carts}",
                      args(cart)));
        tx.gone(
            Table::cart_items,
            tx.run(
                "DELETE FROM {cart_items} WHERE cart_id = $1 AND quantity > 2 RETURNING cart_id, variant_id",
                args(cart)));
    }
    for (auto n = 1 + c.below(4); n > 0; --n) {
        tx.put(Table::cart_items, tx.run(upsert_item, args(cart, some_variant(c), c.shop.tenant,
                                                           1 + c.below(4), gift_message(c))));
    }
    return [&c, at = *at, cart] { c.customers[at].cart = cart; };
}

std::optional<Effect> upsert_alone(Client& c, Transaction& tx) {
    auto const at = c.some_customer(true);
    if (!at) {
        return std::nullopt;
    }
    std::vector<Value> const item = {c.customers[*at].cart, some_variant(c), std::to_string(1 + c.below(9)),
                                     gift_message(c)};
    tx.put_values(Table::cart_items, item);
    tx.autocommit("upsert_alone", upsert_item, args(item[0], item[1], c.shop.tenant, item[2], item[3]));
    return [] {};
}

// COPY of rows with values that are awkward in text: -0, NaN, infinity, empty bytea, escapes, NULL.
std::optional<Effect> copy_sessions(Client& c, Transaction& tx) {
    auto const at = c.some_customer(true);
    if (!at) {
        return std::nullopt;
    }
    static constexpr std::array<char const*, 5> rates = {"0.1", "-0", "NaN", "Infinity", "1e-300"};
    static constexpr std::array<char const*, 3> prints = {"\\x", "\\x00ff", "\\xdeadbeef"};
    std::string lines;
    for (auto n = 10 + c.below(30); n > 0; --n) {
        auto const token = "tok_" + c.uuid();
        auto const state = fmt::format(R"({{"note": "tab\t é", "step": {}}})", c.below(9));
        auto const* const print = prints[static_cast<std::size_t>(c.below(3))];
        auto const* const rate = rates[static_cast<std::size_t>(c.below(5))];
        Value const expires = c.chance(30)   ? arg("infinity")
                              : c.chance(30) ? arg(std::nullopt)
                                             : arg(c.moment());
        tx.put_values(Table::checkout_sessions,
                      {token, c.customers[*at].cart, state, arg(print), arg(rate), expires});
        auto const escaped = [](std::string_view text) {
            std::string out;
            for (char const ch : text) {
                out += ch;
                if (ch == '\\') {
                    out += ch;
                }
            }
            return out;
        };
        lines += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\n", token, c.customers[*at].cart, c.shop.tenant,
                             escaped(state), escaped(print), rate, expires.value_or("\\N"));
    }
    tx.session().copy("COPY {checkout_sessions} (token, cart_id, tenant_id, state, fingerprint, rate, "
                      "expires_at) FROM STDIN",
                      lines);
    return [] {};
}

std::vector<std::string> own_carts(Client const& c) {
    std::vector<std::string> carts;
    for (auto const& customer : c.customers) {
        if (!customer.cart.empty()) {
            carts.push_back(customer.cart);
        }
    }
    return carts;
}

std::optional<Effect> expire_sessions(Client& c, Transaction& tx) {
    auto const sessions = tx.run(
        "SELECT cart_id FROM {checkout_sessions} WHERE tenant_id = $1 AND cart_id = ANY ($2::uuid[]) LIMIT 1",
        args(c.shop.tenant, array(own_carts(c))));
    if (sessions.empty()) {
        return std::nullopt;
    }
    auto const cart = sessions.text(0, 0);
    tx.gone(Table::checkout_sessions, tx.run("DELETE FROM {checkout_sessions} WHERE cart_id = $1 AND "
                                             "expires_at < '2025-06-01' RETURNING token",
                                             args(cart)));
    tx.put(Table::checkout_sessions,
           tx.run("UPDATE {checkout_sessions} SET state = state || jsonb_build_object('expired', true), rate "
                  "= NULL "
                  "WHERE cart_id = $1 AND expires_at = 'infinity' RETURNING {=checkout_sessions}",
                  args(cart)));
    return [] {};
}

// Carts that were there before the workload: the rows which a backfill races for.
std::optional<Effect> seeded_cart(Client& c, Transaction& tx) {
    if (c.shop.seeded_carts == 0) {
        return std::nullopt;
    }
    auto const key = fmt::format("cart{}", 1 + c.below(c.shop.seeded_carts));
    auto const cart =
        tx.run("UPDATE {carts} SET version = version + 1 WHERE cart_id = md5($1)::uuid RETURNING {=carts}",
               args(key));
    if (cart.empty()) {
        return [] {}; // another client deleted it
    }
    auto const version = cart.number(0, 4);
    // A cart that an order names stays: its going would change an order that is not locked here.
    if (c.chance(10) && tx.run("SELECT 1 FROM {orders} WHERE cart_id = $1", args(cart.text(0, 0))).empty()) {
        tx.gone_under(
            Table::checkout_sessions,
            tx.run("SELECT token FROM {checkout_sessions} WHERE cart_id = $1", args(cart.text(0, 0))),
            version);
        tx.gone_under(
            Table::cart_items,
            tx.run("SELECT cart_id, variant_id FROM {cart_items} WHERE cart_id = $1", args(cart.text(0, 0))),
            version);
        tx.gone_under(
            Table::carts,
            tx.run("DELETE FROM {carts} WHERE cart_id = $1 RETURNING cart_id", args(cart.text(0, 0))),
            version);
        return [] {};
    }
    tx.put_versioned(Table::carts, cart);
    tx.put_under(Table::cart_items,
                 tx.run("UPDATE {cart_items} SET quantity = 1 + (quantity + $2) % 50 WHERE cart_id = $1 "
                        "RETURNING {=cart_items}",
                        args(cart.text(0, 0), c.below(9))),
                 version);
    tx.put_under(Table::cart_items,
                 tx.run(upsert_item, args(cart.text(0, 0), some_variant(c), c.shop.tenant, 1 + c.below(4),
                                          gift_message(c))),
                 version);
    return [] {};
}

std::array const kinds = {
    Kind{"fill_cart", 22, fill_cart},        Kind{"upsert_alone", 8, upsert_alone, true},
    Kind{"copy_sessions", 1, copy_sessions}, Kind{"expire_sessions", 1, expire_sessions},
    Kind{"seeded_cart", 5, seeded_cart},
};

} // namespace

std::span<Kind const> cart_kinds() {
    return kinds;
}

} // namespace monolith
