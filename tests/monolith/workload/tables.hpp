// The tables which the workload writes, and which of their columns its ledger vouches for.
//
// One list serves both halves: the writer hashes these columns of a row when it records a write, the
// checker reads the same columns back. Values are compared as text, under a fixed time zone.
//
// Threads: constant after start-up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace monolith {

enum class Table : std::uint8_t {
    customers,
    customer_addresses,
    product_variants,
    stock_levels,
    stock_reservations,
    carts,
    cart_items,
    orders,
    order_lines,
    order_addresses,
    order_discounts,
    order_notes,
    order_events,
    checkout_sessions,
    payments,
    ledger_accounts,
    ledger_entries,
    shipments,
    shipment_items,
    sales_daily,
    report_runs,
    audit_log,
};

struct TableSpec {
    Table id;
    std::string name;
    std::string service;
    std::string key_type;             // SQL type of the first key column
    std::vector<std::string> key;     // columns
    std::vector<std::string> content; // columns beside the key
    std::string scope = "tenant_id";  // SQL: the tenant which a row belongs to, as an integer

    [[nodiscard]] std::string columns() const; // key and content, comma separated
};

[[nodiscard]] std::vector<TableSpec> const& all_tables();
[[nodiscard]] TableSpec const& spec(Table table);
[[nodiscard]] TableSpec const* find_spec(std::string_view name);

// The service that owns a table of the monolith, as far as the workload names it; "" when it is none of ours.
[[nodiscard]] std::string service_of(std::string_view table);

using Value = std::optional<std::string>; // nullopt: NULL

// 64 bits over a row's values; NULL differs from the empty string, and ("a","b") from ("ab","").
class RowHash {
public:
    void add(std::optional<std::string_view> value);
    [[nodiscard]] std::uint64_t value() const; // never 0

private:
    std::uint64_t state_ = 0xcbf29ce484222325ULL;
};

[[nodiscard]] std::uint64_t hash_text(std::string_view text);

} // namespace monolith
