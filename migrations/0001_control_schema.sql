-- The control schema: what pgcarve knows of every service, in the shared database.
-- Run by `pgcarve init` in one transaction; psql can run it as well.

CREATE SCHEMA pgcarve;
REVOKE ALL ON SCHEMA pgcarve FROM PUBLIC;
COMMENT ON SCHEMA pgcarve IS 'pgcarve: control schema, mirror and fence functions';

CREATE TABLE pgcarve.migration (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by text NOT NULL DEFAULT session_user
);

-- One row a service. `epoch` is a fencing token: every lease raises it, and every change of
-- a service names the epoch it was made under, so a process that lost its lease changes nothing.
CREATE TABLE pgcarve.service (
    name              text PRIMARY KEY,
    phase             text NOT NULL DEFAULT 'planned'
        CHECK (phase IN ('planned', 'backfilling', 'dual_writing', 'schema_live',
                         'copying', 'syncing', 'database_live', 'completed')),
    authority         text NOT NULL DEFAULT 'shared' CHECK (authority IN ('shared', 'schema', 'database')),
    base_phase        text NOT NULL DEFAULT 'planned' CHECK (base_phase IN ('planned', 'schema_live')),
    epoch             bigint NOT NULL DEFAULT 0,
    setup             jsonb NOT NULL DEFAULT '{}', -- tables, strategy, options: what was split, as it was split
    window_started_at timestamptz,
    hold_until        timestamptz,
    changed_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The side that takes writes follows from the phase wherever the phase decides it.
    CHECK (CASE phase
               WHEN 'planned' THEN authority = 'shared'
               WHEN 'backfilling' THEN authority = 'shared'
               WHEN 'dual_writing' THEN authority = 'shared'
               WHEN 'schema_live' THEN authority = 'schema'
               WHEN 'database_live' THEN authority = 'database'
               ELSE true END)
);

-- Who works on a service now. Held for real by a session's advisory lock; the row says whose it is.
CREATE TABLE pgcarve.lease (
    service     text PRIMARY KEY REFERENCES pgcarve.service ON DELETE CASCADE,
    epoch       bigint NOT NULL,
    verb        text NOT NULL,
    operator    text NOT NULL, -- user@host of the pgcarve process
    process     integer NOT NULL,
    backend_pid integer NOT NULL,
    taken_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One execution of a verb, over as many runs of the program as it takes: its plan is stored
-- before the first step, and a rerun goes on with this plan.
CREATE TABLE pgcarve.attempt (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service     text NOT NULL REFERENCES pgcarve.service ON DELETE CASCADE,
    verb        text NOT NULL,
    plan        jsonb NOT NULL,
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'finished', 'undone')),
    result      jsonb,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);
-- At most one thing at a time happens to a service.
CREATE UNIQUE INDEX attempt_one_open ON pgcarve.attempt (service) WHERE state = 'open';

-- What was done, by whom, from where: a step's line commits with the step. Append-only.
CREATE TABLE pgcarve.journal (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service     text NOT NULL,
    attempt     bigint,
    verb        text NOT NULL,
    step        text NOT NULL,
    state       text NOT NULL CHECK (state IN ('done', 'undone', 'note')),
    detail      jsonb,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    db_user     text NOT NULL DEFAULT session_user,
    client_addr inet DEFAULT inet_client_addr(),
    operator    text NOT NULL
);
CREATE INDEX journal_attempt ON pgcarve.journal (attempt, step);
CREATE INDEX journal_service ON pgcarve.journal (service, id);

CREATE FUNCTION pgcarve.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'pgcarve.% is append-only', TG_TABLE_NAME USING ERRCODE = 'PGC02';
END $$;
REVOKE ALL ON FUNCTION pgcarve.refuse_change() FROM PUBLIC;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pgcarve.journal
    FOR EACH STATEMENT EXECUTE FUNCTION pgcarve.refuse_change();

-- How far the backfill of a table has come: written in the transaction of the chunk it covers.
CREATE TABLE pgcarve.backfill (
    service      text NOT NULL REFERENCES pgcarve.service ON DELETE CASCADE,
    source_table text NOT NULL,
    last_key     text[], -- NULL: not begun
    rows_copied  bigint NOT NULL DEFAULT 0,
    finished     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (service, source_table)
);

CREATE TABLE pgcarve.verification (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service     text NOT NULL REFERENCES pgcarve.service ON DELETE CASCADE,
    mode        text NOT NULL CHECK (mode IN ('full', 'incremental')),
    whole       boolean NOT NULL, -- every table and every row of the service
    verdict     text NOT NULL CHECK (verdict IN ('clean', 'different', 'incomplete')),
    authority   text NOT NULL,
    signature   text NOT NULL, -- of the schemas compared
    proven_lsn  pg_lsn,
    proven_at   timestamptz,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seconds     double precision NOT NULL,
    row_count   bigint NOT NULL,
    differences bigint NOT NULL,
    tables      jsonb NOT NULL
);
CREATE INDEX verification_service ON pgcarve.verification (service, id);

-- Samples of what differed; resolved by a repair that proved its key equal, or by a later clean verification.
CREATE TABLE pgcarve.finding (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    verification bigint NOT NULL REFERENCES pgcarve.verification ON DELETE CASCADE,
    service      text NOT NULL,
    source_table text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('missing', 'extra', 'different')),
    key          jsonb NOT NULL,
    columns      text[] NOT NULL,
    resolved_at  timestamptz,
    resolved_by  text
);
CREATE INDEX finding_open ON pgcarve.finding (service) WHERE resolved_at IS NULL;

-- Conditions of the gate that an operator overrode: shown for ever.
CREATE TABLE pgcarve.gate_override (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service   text NOT NULL,
    verb      text NOT NULL,
    condition text NOT NULL,
    reason    text NOT NULL CHECK (reason <> ''),
    observed  text NOT NULL,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    db_user   text NOT NULL DEFAULT session_user,
    operator  text NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pgcarve.gate_override
    FOR EACH STATEMENT EXECUTE FUNCTION pgcarve.refuse_change();
