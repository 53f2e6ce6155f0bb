#include "lint/rule.hpp"

#include <algorithm>

namespace pgcarve::lint {

std::string shown(sql::QName const& name) {
    return name.schema.empty() ? sql::display_ident(name.name) : name.display();
}

std::string Context::table() const {
    return shown(action.on);
}

std::span<Column const> Context::new_columns() const {
    bool const makes = action.verb == Verb::create && action.object == Object::table && !action.temporary;
    return makes || action.verb == Verb::add_column ? std::span{action.definitions} : std::span<Column const>{};
}

sql::QName Context::resolve(sql::QName const& name) const {
    if (boundary == nullptr || !name.schema.empty() || state.path_set)
        return state.resolve(name);
    return boundary->resolve(name, service);
}

std::vector<Synced> Context::synced(sql::QName const& name) const {
    if (sync == nullptr || name.name.empty())
        return {};
    auto found = sync->find(resolve(name));
    if (name.schema.empty() && boundary != nullptr && !state.path_set) {
        if (auto const* const known = boundary->map().service(service)) {
            auto more = sync->find({known->schema, name.name});
            if (std::ranges::any_of(more, &Synced::source))
                found.insert(found.end(), more.begin(), more.end());
        }
        if (std::ranges::any_of(found, &Synced::source))
            std::erase_if(found, [](Synced const& one) { return !one.source(); });
    }
    return found;
}

Owner Context::owner(sql::QName const& table) const {
    return boundary->table(resolve(table));
}

Rule const* find_rule(std::string_view id_or_name) {
    for (auto const* const rule : all_rules()) {
        if (rule->about.id == id_or_name || rule->about.name == id_or_name)
            return rule;
    }
    return nullptr;
}

std::vector<Rule const*> find_rules(std::string_view id_name_or_family) {
    std::vector<Rule const*> found;
    for (auto const* const rule : all_rules()) {
        bool const family = id_name_or_family.size() == 1 && rule->about.id[0] == id_name_or_family[0];
        if (family || rule->about.id == id_name_or_family || rule->about.name == id_name_or_family)
            found.push_back(rule);
    }
    return found;
}

std::string_view example_schema() {
    return R"sql(CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, email text);
CREATE TABLE countries (code text PRIMARY KEY);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, total numeric(10,2), note varchar(20), state text,
    placed_at timestamp, ref bigint NOT NULL, country text);
CREATE TABLE order_lines (order_id bigint, line int, sku text);
CREATE INDEX orders_state_idx ON orders (state);
CREATE UNIQUE INDEX orders_ref_idx ON orders (ref);
CREATE UNIQUE INDEX order_lines_idx ON order_lines (order_id, line);
CREATE TABLE events (id bigint, day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE events_2027 (id bigint, day date NOT NULL);
CREATE MATERIALIZED VIEW totals AS SELECT state, sum(id) AS total FROM orders GROUP BY state;
CREATE UNIQUE INDEX totals_key ON totals (state);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER orders_touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers (id) NOT VALID;
CREATE VIEW open_orders AS SELECT id FROM orders WHERE state = 'open';
CREATE ROLE checkout_app;
CREATE ROLE crm_app;
INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(1, 50) AS n;
INSERT INTO countries VALUES ('de');
INSERT INTO orders SELECT n, n, 10, 'note', 'open', '2026-01-01', n, 'de' FROM generate_series(1, 50) AS n;
INSERT INTO order_lines SELECT n, 1, 'sku' FROM generate_series(1, 50) AS n;
INSERT INTO events SELECT n, '2026-02-01' FROM generate_series(1, 50) AS n;
INSERT INTO events_2027 SELECT n, '2027-02-01' FROM generate_series(1, 50) AS n;
REFRESH MATERIALIZED VIEW totals;
)sql";
}

model::SyncState example_sync() {
    return {{{"checkout", "dual_writing", model::KeptBy::mirror, {"", {"public", "orders"}}, {"", {"checkout", "orders"}}, {"id"}},
             {"crm", "syncing", model::KeptBy::stream, {"", {"public", "customers"}}, {"crm", {"crm", "customers"}}, {"id"}}}};
}

std::string_view example_config() {
    return R"toml([shared]
dsn = ""
[service.checkout]
role = "checkout_app"
tables = ["orders", "order_*"]
migrations = "checkout/**"
[service.crm]
role = "crm_app"
tables = ["customers"]
[reference]
tables = ["countries"]
)toml";
}

} // namespace pgcarve::lint
