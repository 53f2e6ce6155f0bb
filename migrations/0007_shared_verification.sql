-- One verification that several processes share, and that a later one takes up where they were killed: the ranges it
-- consists of, who compares which, and as of which position each was proven.

CREATE TABLE pgcarve.verify_run (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service      text NOT NULL REFERENCES pgcarve.service ON DELETE CASCADE,
    subject      text NOT NULL, -- what is compared with what: those that share it agree on this
    began_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    verification bigint -- once a verdict was recorded
);

CREATE TABLE pgcarve.verify_range (
    run          bigint NOT NULL REFERENCES pgcarve.verify_run ON DELETE CASCADE,
    n            integer NOT NULL,
    source_table text NOT NULL,
    scope        jsonb NOT NULL,
    holder       bigint, -- a number that the process drew
    pid          integer,
    held_until   timestamptz,
    proven_from  pg_lsn, -- what was touched behind it is to be looked at again; NULL: not compared yet
    proven_at    pg_lsn,
    compared_at  timestamptz,
    row_count    bigint NOT NULL DEFAULT 0,
    missing      bigint NOT NULL DEFAULT 0,
    extra        bigint NOT NULL DEFAULT 0,
    different    bigint NOT NULL DEFAULT 0,
    found        jsonb,
    PRIMARY KEY (run, n)
);
