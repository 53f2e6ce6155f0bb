#include "tables.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace monolith {

std::string TableSpec::columns() const {
    auto const sep = content.empty() ? "" : ", ";
    return fmt::format("{}{}{}", fmt::join(key, ", "), sep, fmt::join(content, ", "));
}

std::vector<TableSpec> const& all_tables() {
    static std::vector<TableSpec> const tables = {
        {Table::customers,
         "customers",
         "customers",
         "bigint",
         {"customer_id"},
         {"public_id", "email", "name", "tags", "preferences", "version"}},
        {Table::customer_addresses,
         "customer_addresses",
         "customers",
         "bigint",
         {"customer_id", "kind"},
         {"address", "country"}},
        {Table::product_variants,
         "product_variants",
         "catalog",
         "bigint",
         {"variant_id"},
         {"sku", "price", "version"}},
        {Table::stock_levels,
         "stock_levels",
         "inventory",
         "bigint",
         {"variant_id", "warehouse_id"},
         {"on_hand", "reserved", "version"}},
        {Table::stock_reservations,
         "stock_reservations",
         "inventory",
         "uuid",
         {"reservation_id"},
         {"order_id", "variant_id", "quantity"}},
        {Table::carts,
         "carts",
         "checkout",
         "uuid",
         {"cart_id"},
         {"customer_id", "currency", "status", "version"}},
        {Table::cart_items,
         "cart_items",
         "checkout",
         "uuid",
         {"cart_id", "variant_id"},
         {"quantity", "gift_message"}},
        {Table::orders,
         "orders",
         "checkout",
         "bigint",
         {"order_id"},
         {"customer_id", "cart_id", "document_no", "reference", "status", "items_total", "shipping_cost",
          "grand_total", "paid_amount", "labels", "attributes", "version", "placed_at"}},
        {Table::order_lines,
         "order_lines",
         "checkout",
         "bigint",
         {"order_id", "line_no"},
         {"variant_id", "position", "quantity", "unit_price", "line_total"}},
        {Table::order_addresses,
         "order_addresses",
         "checkout",
         "bigint",
         {"order_id", "kind"},
         {"address", "country"}},
        {Table::order_discounts,
         "order_discounts",
         "checkout",
         "bigint",
         {"discount_id"},
         {"order_id", "promotion_id", "amount", "note"}},
        {Table::order_notes,
         "order_notes",
         "checkout",
         "uuid",
         {"note_id"},
         {"order_id", "reply_to", "body", "internal"}},
        {Table::order_events,
         "order_events",
         "checkout",
         "bigint",
         {"event_id"},
         {"order_id", "code", "payload", "occurred_at"}},
        {Table::checkout_sessions,
         "checkout_sessions",
         "checkout",
         "text",
         {"token"},
         {"cart_id", "state", "fingerprint", "rate", "expires_at"}},
        {Table::payments, "payments", "payments", "uuid", {"payment_id"}, {"order_id", "amount", "status"}},
        {Table::ledger_accounts,
         "ledger_accounts",
         "billing",
         "bigint",
         {"account_id"},
         {"kind", "number", "balance", "version"}},
        {Table::ledger_entries,
         "ledger_entries",
         "billing",
         "uuid",
         {"entry_id"},
         {"account_id", "payment_id", "amount"}},
        {Table::shipments,
         "shipments",
         "shipping",
         "uuid",
         {"shipment_id"},
         {"order_id", "carrier_code", "tracking_code"}},
        {Table::shipment_items,
         "shipment_items",
         "shipping",
         "uuid",
         {"shipment_id", "line_no"},
         {"variant_id", "quantity"}},
        {Table::sales_daily,
         "sales_daily",
         "reporting",
         "integer",
         {"tenant_id", "day"},
         {"orders_placed", "revenue", "version"}},
        {Table::report_runs,
         "report_runs",
         "reporting",
         "bigint",
         {"run_id"},
         {"report_code", "seconds", "output"},
         "CASE WHEN report_code LIKE 'workload-%' THEN substr(report_code, 10)::integer END"},
        {Table::audit_log, "audit_log", "audit", "text", {"object"}, {}},
    };
    return tables;
}

TableSpec const& spec(Table table) {
    return all_tables().at(static_cast<std::size_t>(table));
}

TableSpec const* find_spec(std::string_view name) {
    for (auto const& t : all_tables()) {
        if (t.name == name) {
            return &t;
        }
    }
    return nullptr;
}

std::string service_of(std::string_view table) {
    if (auto const* known = find_spec(table)) {
        return known->service;
    }
    if (table.substr(0, 13) == "order_events_" || table == "order_status_codes") {
        return "checkout";
    }
    if (table == "report_definitions") {
        return "reporting";
    }
    return "";
}

void RowHash::add(std::optional<std::string_view> value) {
    auto const byte = [this](unsigned char b) { state_ = (state_ ^ b) * 0x100000001b3ULL; };
    if (!value) {
        byte(0xff); // no byte of UTF-8 text
        return;
    }
    for (char const c : *value) {
        byte(static_cast<unsigned char>(c));
    }
    byte(0xfe);
}

std::uint64_t RowHash::value() const {
    auto x = state_; // FNV-1a leaves the high bits weak: mix them
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    x ^= x >> 33;
    return x == 0 ? 1 : x;
}

std::uint64_t hash_text(std::string_view text) {
    RowHash h;
    h.add(text);
    return h.value();
}

} // namespace monolith
