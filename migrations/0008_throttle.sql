-- Why the copying of a service's rows waits: an operator asked for it (`pgcarve sync SERVICE --throttle REASON`), or the sync
-- that runs found a reason.

CREATE TABLE pgcarve.throttle (
    service  text PRIMARY KEY REFERENCES pgcarve.service ON DELETE CASCADE,
    asked    text,
    asked_by text,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    waits    text
);
