-- What a stream has touched at its target, and the message that it stands at: what a verification of two databases looks
-- at. Of the stream back; pgcarve makes the same at the other side for the stream forward.

ALTER TABLE pgcarve.stream ADD COLUMN marker text, ADD COLUMN touched_from pg_lsn;

CREATE TABLE pgcarve.touched (
    stream       text NOT NULL REFERENCES pgcarve.stream ON DELETE CASCADE,
    at           pg_lsn NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    source_table text NOT NULL,
    xids         bigint[] NOT NULL,
    keys         text -- NULL: all rows
);
CREATE INDEX touched_at ON pgcarve.touched (stream, at);

-- Where the next share of a table begins, of an incremental verification.
CREATE TABLE pgcarve.verification_turn (
    service      text NOT NULL REFERENCES pgcarve.service ON DELETE CASCADE,
    authority    text NOT NULL,
    source_table text NOT NULL,
    next         text NOT NULL,
    PRIMARY KEY (service, authority, source_table)
);
