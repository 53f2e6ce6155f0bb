-- Which timeline of the source a stream's position belongs to, and the tables that it leaves alone for a while: the same
-- as pgcarve makes at the other side.

ALTER TABLE pgcarve.stream ADD COLUMN timeline integer;

CREATE TABLE pgcarve.aside (
    stream       text NOT NULL REFERENCES pgcarve.stream ON DELETE CASCADE,
    source_table text NOT NULL,
    reason       text NOT NULL,
    comes_back   boolean NOT NULL DEFAULT false,
    since        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, source_table)
);
