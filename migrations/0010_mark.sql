-- Where the log is marked on servers whose streams carry no messages (PostgreSQL 13): one row, listed by every publication of
-- pgcarve's streams. Of the streams that leave this database; pgcarve makes the same at the other side for the stream back.

CREATE TABLE pgcarve.mark (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    content text NOT NULL
);
