-- Foreign keys that a service's own database severed, kept by pgcarve: what is still to be done for them, and rows that
-- have lost their parent.

-- Keys that are gone or have changed at the referenced side. The other database has a table like it.
CREATE TABLE pgcarve.loose_queue (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service    text NOT NULL,
    reference  text NOT NULL, -- public.customers (id)
    op         "char" NOT NULL CHECK (op IN ('d', 'u')),
    old        text[] NOT NULL,
    new        text[],
    queued_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_try   timestamptz NOT NULL DEFAULT '-infinity',
    problem    text, -- why it could not be done so far
    child_rows bigint NOT NULL DEFAULT 0 -- rows that still refer to it
);
CREATE INDEX loose_queue_due ON pgcarve.loose_queue (service, reference, next_try, id);
CREATE INDEX loose_queue_changes ON pgcarve.loose_queue (service, reference) WHERE op = 'u';

-- The last count of rows without a parent, by key.
CREATE TABLE pgcarve.loose_key (
    service    text NOT NULL REFERENCES pgcarve.service ON DELETE CASCADE,
    key        text NOT NULL, -- public.orders.customer_id -> public.customers
    orphans    bigint NOT NULL,
    counted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (service, key)
);
