-- Fills the sample monolith, the same rows every time: arithmetic on generate_series, no random(), no now().
--
--   psql -v ON_ERROR_STOP=1 -1 [-v scale=1] -f seed.sql "dbname=monolith user=monolith_owner"
--
-- scale 1 (the default) makes about 300 000 rows; 0.01 is the smallest that fills every table.
\if :{?scale}
\else
    \set scale 1
\endif
SET search_path = public;
SET TIME ZONE 'UTC';
SET synchronous_commit = off;
SET client_min_messages = warning;
\set customers (greatest(200, (10000 * :scale)::integer))
\set products (greatest(50, (1500 * :scale)::integer))
\set variants (3 * :products)
\set carts (greatest(100, (8000 * :scale)::integer))
\set orders (greatest(300, (20000 * :scale)::integer))
\set tenants 20

-- Only what would fire once per seeded row is switched off; constraints and foreign keys are all checked.
ALTER TABLE orders DISABLE TRIGGER USER;
ALTER TABLE order_lines DISABLE TRIGGER USER;
ALTER TABLE customers DISABLE TRIGGER USER;

-- A uuid, a text and a moment that belong to a number.
CREATE FUNCTION pg_temp.uuid_of(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT md5(kind || n)::uuid $$;
CREATE FUNCTION pg_temp.price_of(variant bigint) RETURNS numeric LANGUAGE sql IMMUTABLE
    AS $$ SELECT round(1 + (variant * 37 % 20000) / 100.0, 2) $$;
CREATE FUNCTION pg_temp.moment(n bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE
    AS $$ SELECT timestamptz '2025-01-01 00:00:00+00' + (n * 104729 % 31000000) * interval '1 second' $$;

-- tenancy
INSERT INTO countries VALUES ('DE', 'Germany', true), ('FR', 'France', true), ('CH', 'Switzerland', false),
    ('GB', 'United Kingdom', false), ('US', 'United States', false), ('JP', 'Japan', false), ('CI', 'Côte d''Ivoire', false);
INSERT INTO currencies VALUES ('EUR', 'Euro', 2), ('CHF', 'Swiss franc', 2), ('GBP', 'Pound sterling', 2),
    ('USD', 'US dollar', 2), ('JPY', 'Yen', 0);
INSERT INTO tenants (tenant_id, slug, name, country, created_at, updated_at)
    SELECT g, 'shop-' || g, 'Shop № ' || g, (ARRAY['DE','FR','CH','GB','US'])[1 + g % 5], pg_temp.moment(g), pg_temp.moment(g)
    FROM generate_series(1, :tenants) g;
INSERT INTO stores (store_id, tenant_id, name, currency, opening_hours)
    SELECT g, 1 + g % :tenants, 'store ' || g, (ARRAY['EUR','CHF','GBP','USD','JPY'])[1 + g % 5], int4range(8, 18 + g % 4)
    FROM generate_series(1, 2 * :tenants) g;
INSERT INTO tenant_settings SELECT g, k, jsonb_build_object('value', g % 3 = 0, 'since', 2020 + g % 5)
    FROM generate_series(1, :tenants) g, unnest(ARRAY['dark_mode', 'vat_included', 'beta']) k;
INSERT INTO tenant_domains SELECT 'shop-' || g || '.example', g, pg_temp.moment(g) FROM generate_series(1, :tenants) g;

-- identity
INSERT INTO users (tenant_id, email, password_hash, is_staff, created_at, updated_at)
    SELECT 1 + g % :tenants, 'user' || g || '@shop.example', decode(md5('pw' || g), 'hex'), g % 10 = 0, pg_temp.moment(g), pg_temp.moment(g)
    FROM generate_series(1, 200) g;
INSERT INTO user_roles SELECT g, (ARRAY['owner','admin','clerk','viewer'])[1 + g % 4], nullif(g / 2, 0) FROM generate_series(1, 200) g;
INSERT INTO user_sessions SELECT pg_temp.uuid_of('session', g), 1 + g % 200, '10.0.0.0'::inet + g, pg_temp.moment(g), pg_temp.moment(g) + interval '1 day'
    FROM generate_series(1, 500) g;
INSERT INTO api_keys SELECT pg_temp.uuid_of('key', g), 1 + g % :tenants, g, sha256(convert_to('key' || g, 'UTF8')), ARRAY['read', 'scope' || g % 5]
    FROM generate_series(1, 50) g;
INSERT INTO login_attempts SELECT 1 + g % :tenants, 'user' || g % 220 || '@shop.example', g % 7 <> 0, '10.1.0.0'::inet + g, pg_temp.moment(g)
    FROM generate_series(1, 2000) g;

-- customers
INSERT INTO customer_groups (tenant_id, name, discount) SELECT g, n, length(n)
    FROM generate_series(1, :tenants) g, unnest(ARRAY['regular', 'gold', 'wholesale']) n;
INSERT INTO customers (customer_id, public_id, tenant_id, user_id, referred_by, email, name, tags, preferences, created_at, updated_at)
    SELECT g, pg_temp.uuid_of('customer', g), 1 + g % :tenants, CASE WHEN g % 100 = 0 THEN 1 + g / 100 % 200 END,
           CASE WHEN g % 9 = 0 THEN g / 2 END, 'Customer.' || g || '@mail.example',
           (ARRAY['Ada','Björn','Chloé','D''Arcy','Емма','Fumiko 文子'])[1 + g % 6] || ' ' || g,
           CASE g % 4 WHEN 0 THEN '{}' WHEN 1 THEN ARRAY['vip'] WHEN 2 THEN ARRAY['a "quoted" tag', 'b,c'] ELSE ARRAY[NULL, 'NULL', ''] END,
           jsonb_build_object('newsletter', g % 2 = 0, 'language', (ARRAY['en','de','fr'])[1 + g % 3]), pg_temp.moment(g), pg_temp.moment(g)
    FROM generate_series(1, :customers) g;
INSERT INTO customer_addresses SELECT g, 'billing', 1 + g % :tenants, ROW(g || ' High "Street"', 'Town, ' || g % 90, lpad((g % 99999)::text, 5, '0'), 'DE')::postal_address, 'DE'
    FROM generate_series(1, :customers) g;
INSERT INTO customer_group_members SELECT 1 + g % (3 * :tenants), g FROM generate_series(1, :customers, 5) g;
INSERT INTO wishlists (customer_id) SELECT g FROM generate_series(1, :customers, 20) g;

-- catalog
INSERT INTO brands (brand_id, name, website) SELECT g, 'Brand ' || g, CASE WHEN g % 3 <> 0 THEN 'https://brand' || g || '.example' END FROM generate_series(1, 60) g;
INSERT INTO categories SELECT g, nullif(g / 4, 0), 'category-' || g, 'Category ' || g FROM generate_series(1, 80) g;
INSERT INTO products (product_id, tenant_id, brand_id, name, description, attributes, active, created_at, updated_at)
    SELECT g, 1 + g % :tenants, 1 + g % 60, 'Product ' || g, repeat('It is very good. ', (g % 5)::integer),
           jsonb_build_object('colour', (ARRAY['red','green','blue'])[1 + g % 3], 'size', jsonb_build_array(g % 10, g % 20)), g % 17 <> 0, pg_temp.moment(g), pg_temp.moment(g)
    FROM generate_series(1, :products) g;
INSERT INTO product_variants (variant_id, product_id, tenant_id, sku, price, options, weight_grams, updated_at)
    SELECT g, 1 + (g - 1) / 3, 1 + (1 + (g - 1) / 3) % :tenants, 'SKU-' || g, pg_temp.price_of(g), jsonb_build_object('size', (ARRAY['S','M','L'])[1 + g % 3]), 100 + g % 900, pg_temp.moment(g)
    FROM generate_series(1, :variants) g;
INSERT INTO product_categories SELECT g, 1 + g % 80, g % 10 FROM generate_series(1, :products) g;
INSERT INTO product_images SELECT g, 1, decode(repeat(md5(g::text), 4 + (g % 20)::integer), 'hex'), 'picture of ' || g FROM generate_series(1, :products, 3) g;
INSERT INTO product_relations SELECT g, g - 1, 'similar' FROM generate_series(2, :products, 4) g;
INSERT INTO price_history SELECT g, pg_temp.moment(g), pg_temp.price_of(g) + 1, pg_temp.price_of(g), 'seed' FROM generate_series(1, :variants, 6) g;
INSERT INTO größentabellen SELECT s, r, 80 + length(s) * 2.5 FROM unnest(ARRAY['S','M','L','XL','Übergröße']) s, unnest(ARRAY['EU','日本']) r;
INSERT INTO wishlist_items SELECT w, 1 + w * 11 % :variants, pg_temp.moment(w) FROM (SELECT wishlist_id FROM wishlists) l(w);

-- warehouse and inventory
INSERT INTO warehouses (warehouse_id, code, country, location) VALUES (1, 'BER', 'DE', '(52.5,13.4)'), (2, 'LYS', 'FR', '(45.7,4.8)'), (3, 'ZRH', 'CH', NULL);
INSERT INTO bins SELECT 1 + g % 3, chr(65 + (g / 3) % 26) || 'x', g / 78, 1 + g % :variants FROM generate_series(0, 1000) g;
INSERT INTO stock_levels (variant_id, warehouse_id, tenant_id, on_hand, reserved, updated_at)
    SELECT g, w, 1 + (1 + (g - 1) / 3) % :tenants, 100 + g % 900, 0, pg_temp.moment(g) FROM generate_series(1, :variants) g, generate_series(1, 2) w;
INSERT INTO stock_movements (variant_id, warehouse_id, delta, reason, moved_at)
    SELECT g, 1 + g % 2, 100 + g % 900, 'initial stock', pg_temp.moment(g) FROM generate_series(1, :variants) g;
INSERT INTO stock_counts (warehouse_id, counted_by, counted_on, differences)
    SELECT 1 + g % 3, g, date '2025-01-01' + g, ARRAY[g, -g, NULL] FROM generate_series(1, 100) g;
INSERT INTO reorder_rules SELECT g, 20, 10 + g % 5 FROM generate_series(1, :variants, 4) g;

-- promotions
INSERT INTO promotions (promotion_id, tenant_id, name, discount, valid)
    SELECT g, 1 + g % :tenants, 'Sale ' || g, 5 + g % 40, tstzrange(pg_temp.moment(g), pg_temp.moment(g) + interval '10 days') FROM generate_series(1, 60) g;
INSERT INTO promotion_rules SELECT g, 1, '{"min_total": 50}' FROM generate_series(1, 60) g;
INSERT INTO coupons SELECT 'SAVE' || g, 1 + g % 60, CASE WHEN g % 3 = 0 THEN NULL ELSE g END FROM generate_series(1, 500) g;

-- checkout
INSERT INTO order_status_codes VALUES ('created', 'order created', false), ('paid', 'paid in full', false), ('packed', 'in the parcel', false),
    ('shipped', 'on its way', false), ('delivered', 'arrived', true), ('cancelled', 'cancelled', true), ('remark', 'note of the system', false);
INSERT INTO carts (cart_id, tenant_id, customer_id, currency, status, created_at, updated_at)
    SELECT pg_temp.uuid_of('cart', g), 1 + g % :tenants, CASE WHEN g <= :customers THEN g END, 'EUR',
           (ARRAY['open', 'ordered', 'abandoned'])[1 + g % 3], pg_temp.moment(g), pg_temp.moment(g)
    FROM generate_series(1, :carts) g;
INSERT INTO cart_items SELECT pg_temp.uuid_of('cart', g), 1 + (g * 5 + i) % :variants, 1 + g % :tenants, 1 + (g + i) % 4, CASE WHEN i = 2 THEN E'with ♥\nfrom "us"\\' WHEN i = 1 THEN '' END
    FROM generate_series(1, :carts) g, generate_series(1, 3) i WHERE g % 3 <> 1 OR i = 1;
INSERT INTO orders (order_id, tenant_id, customer_id, cart_id, parent_order_id, document_no, reference, status, currency, items_total,
                    shipping_cost, paid_amount, labels, attributes, placed_at, created_at, updated_at)
    SELECT g, 1 + g % :tenants, CASE WHEN g % 23 <> 0 THEN 1 + (g - 1) % :customers END,
           CASE WHEN g % 5 = 0 AND g <= :carts AND g % 3 = 1 THEN pg_temp.uuid_of('cart', g) END,
           CASE WHEN g % 97 = 0 THEN g - 50 END, g, 'A-' || g,
           (ARRAY['placed','placed','draft','paid','paid','shipped','shipped','delivered','delivered','cancelled'])[1 + g % 10]::order_status,
           'EUR', l.total, g % 3 * 2.45, CASE WHEN g % 10 BETWEEN 3 AND 8 THEN l.total + g % 3 * 2.45 ELSE 0 END,
           CASE g % 3 WHEN 0 THEN '{}' WHEN 1 THEN ARRAY['gift'] ELSE ARRAY['urgent', 'B2B'] END,
           CASE g % 4 WHEN 0 THEN '{}'::jsonb WHEN 1 THEN 'null'::jsonb ELSE jsonb_build_object('utm', 'src' || g % 7, 'ip', '10.2.3.' || g % 250, 'amount', (g % 7)::numeric(4,2)) END,
           CASE WHEN g % 10 <> 2 THEN pg_temp.moment(g) END, pg_temp.moment(g), pg_temp.moment(g)
    FROM generate_series(1, :orders) g
    CROSS JOIN LATERAL (SELECT sum((1 + (g + n) % 3) * pg_temp.price_of(1 + (g * 13 + n * 7) % :variants)) AS total FROM generate_series(1, 1 + g % 4) n) l;
INSERT INTO order_lines (order_id, line_no, tenant_id, variant_id, position, quantity, unit_price)
    SELECT g, n, 1 + g % :tenants, 1 + (g * 13 + n * 7) % :variants, n, 1 + (g + n) % 3, pg_temp.price_of(1 + (g * 13 + n * 7) % :variants)
    FROM generate_series(1, :orders) g CROSS JOIN LATERAL generate_series(1, 1 + g % 4) n;
INSERT INTO order_addresses SELECT g, 'shipping', 1 + g % :tenants, ROW(g || ' Rue d''Été', 'Lyon', NULL, 'FR')::postal_address, 'FR' FROM generate_series(1, :orders) g;
INSERT INTO order_discounts (order_id, tenant_id, promotion_id, amount, note)
    SELECT g, 1 + g % :tenants, 1 + g % 60, 1 + g % 9, CASE WHEN g % 2 = 0 THEN 'loyal' END FROM generate_series(1, :orders, 8) g;
INSERT INTO order_notes SELECT pg_temp.uuid_of('note', g), g, 1 + g % :tenants, NULL, CASE WHEN g % 60 = 1 THEN repeat('long text ', 900) ELSE 'please ring twice' END, g % 4 = 0
    FROM generate_series(1, :orders, 10) g;
INSERT INTO order_notes SELECT pg_temp.uuid_of('reply', g), g, 1 + g % :tenants, pg_temp.uuid_of('note', g), 'done', true FROM generate_series(1, :orders, 20) g;
INSERT INTO order_events (order_id, tenant_id, code, payload, occurred_at)
    SELECT g, 1 + g % :tenants, (ARRAY['created','paid','shipped'])[e], jsonb_build_object('step', e, 'by', 'seed'), pg_temp.moment(g) + e * interval '1 hour'
    FROM generate_series(1, :orders) g, generate_series(1, 3) e WHERE e = 1 OR (e = 2 AND g % 10 BETWEEN 3 AND 8) OR (e = 3 AND g % 10 BETWEEN 5 AND 8);
INSERT INTO checkout_sessions
    SELECT 'tok_' || md5(g::text), pg_temp.uuid_of('cart', g), 1 + g % :tenants, jsonb_build_object('step', g % 5, 'seen', jsonb_build_array(1.0, 1.00, g)),
           CASE g % 3 WHEN 0 THEN NULL WHEN 1 THEN '\x'::bytea ELSE decode(md5(g::text) || '00ff', 'hex') END,
           (ARRAY[0.1, '-0'::float8, 'NaN', 'Infinity', 1e-300, NULL]::float8[])[1 + g % 6],
           CASE g % 4 WHEN 0 THEN 'infinity' WHEN 1 THEN NULL ELSE pg_temp.moment(g) + interval '1 microsecond' END
    FROM generate_series(1, :carts, 4) g;

-- what hangs on orders
INSERT INTO pick_lists (warehouse_id, picker, created_at) SELECT 1 + g % 3, 'picker ' || g % 9, pg_temp.moment(g) FROM generate_series(1, 200) g;
INSERT INTO pick_list_items SELECT 1 + g % 200, g, 1, g % 20 = 3 FROM generate_series(3, :orders, 10) g;
INSERT INTO stock_reservations SELECT pg_temp.uuid_of('reservation', g), g, 1 + (g * 13 + 7) % :variants, 1, 1 + g % :tenants, 1 FROM generate_series(3, :orders, 10) g;
UPDATE stock_levels s SET reserved = r.n FROM (SELECT variant_id, count(*) AS n FROM stock_reservations GROUP BY 1) r WHERE r.variant_id = s.variant_id AND s.warehouse_id = 1;
INSERT INTO coupon_redemptions SELECT 'SAVE' || 1 + g % 500, g, pg_temp.moment(g) FROM generate_series(5, :orders, 40) g;
INSERT INTO payment_methods (customer_id, kind, token, expires_on)
    SELECT g, (ARRAY['card','sepa','wallet'])[1 + g % 3], decode(md5('method' || g), 'hex'), CASE WHEN g % 3 = 0 THEN date '2030-01-31' END FROM generate_series(1, :customers, 2) g;
INSERT INTO payments (payment_id, order_id, tenant_id, amount, status, provider_data, created_at, updated_at)
    SELECT pg_temp.uuid_of('payment', order_id), order_id, tenant_id, paid_amount, 'captured', jsonb_build_object('provider', 'acme', 'ref', order_id), placed_at, placed_at
    FROM orders WHERE paid_amount > 0;
INSERT INTO payment_attempts SELECT payment_id, 1, 'ok', created_at FROM payments WHERE order_id % 3 = 0;
INSERT INTO refunds (payment_id, amount, refunded_at) SELECT payment_id, 1, created_at FROM payments WHERE order_id % 300 = 7;
INSERT INTO payment_webhooks SELECT 'wh_' || g, pg_temp.moment(g), jsonb_build_object('n', g), g % 5 <> 0 FROM generate_series(1, 1000) g;
INSERT INTO billing_plans VALUES ('basic', 19, '["shop"]'), ('pro', 99, '["shop", "api"]');
INSERT INTO invoices (invoice_id, tenant_id, order_id, billing_address, issued_on)
    SELECT order_id, tenant_id, order_id, ROW('x', 'y', 'z', 'DE')::postal_address, placed_at::date FROM orders WHERE status IN ('shipped', 'delivered') AND order_id % 2 = 1;
INSERT INTO invoice_lines SELECT order_id, line_no, 'variant ' || variant_id, line_total FROM order_lines WHERE order_id IN (SELECT invoice_id FROM invoices);
INSERT INTO ledger_accounts (account_id, tenant_id, kind, number, balance)
    SELECT 3 * g + k, g + 1, (ARRAY['wallet','merchant','fees'])[k], 1, CASE k WHEN 1 THEN 1000 ELSE 0 END FROM generate_series(0, :tenants - 1) g, generate_series(1, 3) k;
INSERT INTO ledger_entries SELECT pg_temp.uuid_of('entry', g), 1 + g % 60, 1 + (g % 60) / 3, NULL, CASE WHEN g % 2 = 0 THEN 1 ELSE -1 END, pg_temp.moment(g) FROM generate_series(1, 1000) g;
INSERT INTO dunning_attempts SELECT invoice_id, 1, timestamptz '2025-12-01 00:00+00' FROM invoices WHERE invoice_id % 50 = 5;
INSERT INTO carriers VALUES ('post', 'Post', 'https://post.example/%s'), ('bike', 'Bike messenger', NULL);
INSERT INTO shipping_zones (name, countries) VALUES ('EU', '{DE,FR}'), ('world', '{CH,GB,US,JP,CI}');
INSERT INTO shipping_rates (zone_id, carrier_code, weight, price) SELECT z, 'post', int4range(w * 1000, w * 1000 + 1000), 3 + w * z FROM generate_series(1, 2) z, generate_series(0, 9) w;
INSERT INTO shipments SELECT pg_temp.uuid_of('shipment', order_id), order_id, tenant_id, 'post', 'T' || order_id, placed_at + interval '2 days' FROM orders WHERE status IN ('shipped', 'delivered');
INSERT INTO shipment_items SELECT pg_temp.uuid_of('shipment', order_id), line_no, tenant_id, variant_id, quantity FROM order_lines WHERE order_id % 10 BETWEEN 5 AND 8;
INSERT INTO tracking_events SELECT shipment_id, shipped_at, 'handed over', '(1,2)' FROM shipments WHERE order_id % 4 = 1;
INSERT INTO tax_zones VALUES ('DE-STD', 'DE'), ('FR-STD', 'FR'), ('CH-STD', 'CH');
INSERT INTO tax_rates (zone_code, rate, period, zone_no) VALUES ('DE-STD', 16, '[2020-07-01,2021-01-01)', 1), ('DE-STD', 19, '[2021-01-01,)', 1), ('FR-STD', 20, '(,)', 2), ('CH-STD', 8.1, '[2024-01-01,)', 3);
INSERT INTO tax_exemptions SELECT g, 'DE-STD', '\x25504446' FROM generate_series(1, :customers, 100) g;
INSERT INTO tax_filings SELECT g, date '2025-01-01', pg_temp.moment(g), '{"vat": 12.30}' FROM generate_series(1, :tenants) g;
INSERT INTO return_reasons VALUES ('size', 'does not fit'), ('broken', 'arrived broken'), ('mind', 'changed my mind');
INSERT INTO returns (return_id, order_id, reason_code, opened_at) SELECT order_id, order_id, (ARRAY['size','broken','mind'])[1 + order_id % 3], placed_at + interval '9 days' FROM orders WHERE order_id % 50 = 8;
INSERT INTO return_items SELECT return_id, order_id, 1, 1 FROM returns;

-- the small services
INSERT INTO reviews (product_id, customer_id, order_id, stars, body, written_at, updated_at)
    SELECT 1 + g % :products, 1 + g % :customers, CASE WHEN g % 2 = 0 THEN 1 + g % :orders END, 1 + g % 5, CASE WHEN g % 3 <> 0 THEN 'review ' || g END, pg_temp.moment(g), pg_temp.moment(g) FROM generate_series(1, 3000) g;
INSERT INTO review_votes SELECT g, 1 + g % :customers, g % 3 = 0 FROM generate_series(1, 3000, 2) g;
INSERT INTO review_media SELECT pg_temp.uuid_of('media', g), g, 'image/png', decode(md5(g::text), 'hex') FROM generate_series(1, 3000, 30) g;
INSERT INTO search_documents SELECT 'product', product_id, search, created_at FROM products;
INSERT INTO search_synonyms VALUES ('sofa', '{couch,settee}'), ('mobile', '{phone,handy}');
INSERT INTO search_queries (tenant_id, query, hits, clicked_product, asked_at) SELECT 1 + g % :tenants, 'query ' || g % 99, g % 40, CASE WHEN g % 2 = 0 THEN 1 + g % :products END, pg_temp.moment(g) FROM generate_series(1, 2000) g;
INSERT INTO notification_templates SELECT t, l, t || ' in ' || l, 'Hello %s' FROM unnest(ARRAY['placed','shipped']) t, unnest(ARRAY['en','de']) l;
INSERT INTO notifications (customer_id, order_id, template_code, language, created_at) SELECT 1 + g % :customers, g, 'placed', 'en', pg_temp.moment(g) FROM generate_series(1, 3000) g;
INSERT INTO notification_deliveries SELECT notification_id, 'email', created_at, NULL FROM notifications;
INSERT INTO notification_preferences SELECT g, '{email,sms}', int4range(22, 24) FROM generate_series(1, :customers, 10) g;
INSERT INTO support_agents (user_id, languages) SELECT g, '{en,de}' FROM generate_series(10, 200, 10) g;
INSERT INTO tickets (customer_id, order_id, agent_id, priority, subject, opened_at, updated_at)
    SELECT 1 + g % :customers, CASE WHEN g % 3 = 0 THEN 1 + g % :orders END, 1 + g % 20, (ARRAY['low','normal','high','urgent'])[1 + g % 4]::ticket_priority, 'Where is it? ' || g, pg_temp.moment(g), pg_temp.moment(g) FROM generate_series(1, 1500) g;
INSERT INTO ticket_messages (ticket_id, body, from_customer, sent_at) SELECT 1 + g % 1500, 'message ' || g, g % 2 = 0, pg_temp.moment(g) FROM generate_series(1, 3000) g;
INSERT INTO ticket_tags SELECT g, 'shipping' FROM generate_series(1, 1500, 3) g;
INSERT INTO segments (tenant_id, name, definition) SELECT g, 'big spenders', '{"min": 500}' FROM generate_series(1, :tenants) g;
INSERT INTO segment_members SELECT 1 + g % :tenants, g FROM generate_series(1, :customers, 10) g;
INSERT INTO campaigns (campaign_id, segment_id, promotion_id, name, budget, runs) SELECT g, g, g, 'Campaign ' || g, 1000, tstzrange('2025-03-01 00:00+00', NULL) FROM generate_series(1, 20) g;
INSERT INTO campaign_sends SELECT 1 + g % 20, g, pg_temp.moment(g), g % 4 = 0 FROM generate_series(1, :customers, 5) g;
INSERT INTO newsletter_signups SELECT 'reader' || g || '@mail.example', 1 + g % :tenants, g % 2 = 0 FROM generate_series(1, 1000) g;
INSERT INTO report_definitions (report_code, title, query, owner_id, updated_at) SELECT 'report-' || g, 'Report ' || g, 'SELECT ' || g, g, pg_temp.moment(g) FROM generate_series(1, 20) g;
INSERT INTO report_runs (report_code, started_at, seconds, output) SELECT 'report-' || 1 + g % 20, pg_temp.moment(g), g % 60 + 0.5, decode(md5(g::text), 'hex') FROM generate_series(1, 1000) g;
INSERT INTO sales_daily (tenant_id, day, orders_placed, revenue, updated_at)
    SELECT tenant_id, (placed_at AT TIME ZONE 'UTC')::date, count(*), sum(grand_total), timestamptz '2025-12-31 00:00+00' FROM orders WHERE placed_at IS NOT NULL GROUP BY 1, 2;
INSERT INTO sales_by_product SELECT v.product_id, date '2025-01-01', sum(l.quantity), sum(l.line_total) FROM order_lines l JOIN product_variants v USING (variant_id) GROUP BY 1;
INSERT INTO "SalesTargets" ("storeId", period, "Target Amount") SELECT s, daterange(make_date(2025, q * 3 - 2, 1), (make_date(2025, q * 3 - 2, 1) + interval '3 months')::date), 10000 * q FROM generate_series(1, 2 * :tenants) s, generate_series(1, 4) q;
INSERT INTO order_archive SELECT -g, 1 + g % :tenants, 'delivered', jsonb_build_object('year', 2019, 'lines', jsonb_build_array(g)), timestamptz '2020-01-01 00:00+00' FROM generate_series(1, 1000) g;
INSERT INTO audit_log (tenant_id, object, actor, at) SELECT 1 + g % :tenants, 'orders:' || g || ':I:1', 'seed', pg_temp.moment(g) FROM generate_series(1, :orders, 10) g;
INSERT INTO audit_exports (tenant_id, up_to, requested_by) SELECT g, 100 * g, g FROM generate_series(1, :tenants) g;

-- Rows with given keys came first; their sequences go on behind them.
SELECT setval(pg_get_serial_sequence(t, c), m) FROM (VALUES
    ('tenants', 'tenant_id', (SELECT max(tenant_id) FROM tenants)), ('stores', 'store_id', (SELECT max(store_id) FROM stores)),
    ('customers', 'customer_id', (SELECT max(customer_id) FROM customers)), ('brands', 'brand_id', (SELECT max(brand_id) FROM brands)),
    ('products', 'product_id', (SELECT max(product_id) FROM products)), ('product_variants', 'variant_id', (SELECT max(variant_id) FROM product_variants)),
    ('warehouses', 'warehouse_id', (SELECT max(warehouse_id) FROM warehouses)), ('promotions', 'promotion_id', (SELECT max(promotion_id) FROM promotions)),
    ('orders', 'order_id', (SELECT max(order_id) FROM orders)), ('invoices', 'invoice_id', (SELECT max(invoice_id) FROM invoices)),
    ('ledger_accounts', 'account_id', (SELECT max(account_id) FROM ledger_accounts)), ('returns', 'return_id', (SELECT max(return_id) FROM returns)),
    ('campaigns', 'campaign_id', (SELECT max(campaign_id) FROM campaigns))) AS s(t, c, m) \g /dev/null
SELECT setval('document_number_seq', greatest((SELECT last_value FROM document_number_seq), (SELECT max(document_no) FROM orders))) \g /dev/null

SET CONSTRAINTS ALL IMMEDIATE; -- so that none is pending when the tables are altered
ALTER TABLE orders ENABLE TRIGGER USER;
ALTER TABLE order_lines ENABLE TRIGGER USER;
ALTER TABLE customers ENABLE TRIGGER USER;
REFRESH MATERIALIZED VIEW mv_product_sales;
DO $$
DECLARE
    t regclass;
BEGIN -- a plain ANALYZE would warn about every shared catalog
    FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm') AND NOT relispartition
             UNION ALL SELECT 'order_events'::regclass LOOP
        EXECUTE format('ANALYZE %s', t);
    END LOOP;
END
$$;
RESET search_path;
RESET TIME ZONE;
RESET synchronous_commit;
RESET client_min_messages;
