-- Where the stream back from a service's own database is: the same tables that pgcarve makes at the other side for the
-- stream forward. The position moves in the transaction of the rows.

CREATE TABLE pgcarve.stream (
    name        text PRIMARY KEY,
    position    pg_lsn NOT NULL,
    system_id   text NOT NULL,
    commit_time timestamptz,
    applied_at  timestamptz
);

CREATE TABLE pgcarve.chunk (
    stream       text NOT NULL REFERENCES pgcarve.stream ON DELETE CASCADE,
    source_table text NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    lo           text,
    hi           text,
    snapshot     text NOT NULL,
    row_count    bigint NOT NULL,
    PRIMARY KEY (stream, source_table, id)
);
