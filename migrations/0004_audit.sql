-- The audit of dual writes: how far each service's has come, and the transactions whose two sides differed.

CREATE TABLE pgcarve.audit (
    service      text PRIMARY KEY,
    slot         text NOT NULL, -- and publication
    state        text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'stopped', 'lost')),
    position     pg_lsn NOT NULL, -- everything that committed before it has been judged
    began_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    moved_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    transactions bigint NOT NULL DEFAULT 0, -- judged
    undecided    bigint NOT NULL DEFAULT 0, -- rows that could not be judged
    stop_wanted  boolean NOT NULL DEFAULT false,
    lost_why     text
);

CREATE TABLE pgcarve.audit_difference (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service        text NOT NULL,
    commit_lsn     pg_lsn NOT NULL,
    xid            bigint NOT NULL,
    committed_at   timestamptz NOT NULL,
    row_count      bigint NOT NULL,
    truncated      boolean NOT NULL,
    samples        jsonb NOT NULL,
    told           boolean NOT NULL DEFAULT false, -- written out by the process that found it
    equal_again_at timestamptz,
    equal_again    jsonb, -- by which transaction
    UNIQUE (service, commit_lsn)
);

-- A finding is of a verification or of an audit.
ALTER TABLE pgcarve.finding ALTER COLUMN verification DROP NOT NULL;
ALTER TABLE pgcarve.finding ADD COLUMN audit bigint REFERENCES pgcarve.audit_difference ON DELETE CASCADE;
ALTER TABLE pgcarve.finding ADD CHECK (num_nonnulls(verification, audit) = 1);
CREATE INDEX finding_audit ON pgcarve.finding (audit);
