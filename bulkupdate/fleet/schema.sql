-- What a fleet keeps in PostgreSQL, beside procrastinate's own tables.

CREATE TABLE bulkupdate_schema (
    version int NOT NULL,
    -- Hashes of keys are made with it, so that they say nothing to another database.
    salt bytea NOT NULL
);

-- The limit of each key. It is written for every few requests: keep its pages free for that.
CREATE TABLE bulkupdate_limits (
    key bytea PRIMARY KEY,
    next timestamptz NOT NULL,
    first timestamptz NOT NULL,
    server timestamptz NOT NULL,
    held_until timestamptz NOT NULL DEFAULT '-infinity',
    slowed float8 NOT NULL DEFAULT 1,
    slowed_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 20);

CREATE TABLE bulkupdate_workers (
    id bigint PRIMARY KEY REFERENCES procrastinate_workers (id) ON DELETE CASCADE,
    name text NOT NULL,
    version text NOT NULL,
    format int NOT NULL,
    -- Seconds without a heartbeat after which its jobs go to others.
    lease float8 NOT NULL,
    started timestamptz NOT NULL DEFAULT now()
);

-- The teams that a worker works for.
CREATE TABLE bulkupdate_members (
    worker bigint NOT NULL REFERENCES bulkupdate_workers ON DELETE CASCADE,
    queue text NOT NULL,
    PRIMARY KEY (worker, queue)
);

-- The accounts whose keys workers have, or had. A name may mean another team to another worker.
CREATE TABLE bulkupdate_accounts (
    base_url text NOT NULL,
    name text NOT NULL,
    team text NOT NULL,
    team_name text NOT NULL,
    queue text NOT NULL,
    key_hash text,
    trouble text,
    seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (base_url, name, team)
);

CREATE TABLE bulkupdate_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL DEFAULT gen_random_uuid(),
    format int NOT NULL,
    version text NOT NULL,
    input text NOT NULL,
    rows int NOT NULL,
    settings bytea NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    -- Null while it is written. Nobody works on it before.
    submitted timestamptz,
    -- The runs of a team are sent in this order.
    place bigint,
    stale_after timestamptz,
    cancelled timestamptz
);

CREATE SEQUENCE bulkupdate_places;

-- The input and what it is read with, in pieces.
CREATE TABLE bulkupdate_files (
    run bigint NOT NULL REFERENCES bulkupdate_runs ON DELETE CASCADE,
    name text NOT NULL,
    number int NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (run, name, number)
);

-- The part of a run that is of one account.
CREATE TABLE bulkupdate_parts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run bigint NOT NULL REFERENCES bulkupdate_runs ON DELETE CASCADE,
    account text NOT NULL,
    base_url text NOT NULL,
    team text,
    -- The queue of the team, and the lock of its jobs.
    queue text,
    rows int NOT NULL DEFAULT 0,
    -- Every edit before this row has its result.
    next_row int NOT NULL DEFAULT 0,
    -- The job that works on it, or did last, and how often the same rows were given out.
    job bigint,
    lease bigint NOT NULL DEFAULT 0,
    -- The last row that may have been sent.
    given_to int NOT NULL DEFAULT 0,
    tried_rows text NOT NULL DEFAULT '',
    tried int NOT NULL DEFAULT 0,
    sent int NOT NULL DEFAULT 0,
    unsuccessful int NOT NULL DEFAULT 0,
    requests int NOT NULL DEFAULT 0,
    retries int NOT NULL DEFAULT 0,
    rate_limited int NOT NULL DEFAULT 0,
    paused float8 NOT NULL DEFAULT 0,
    allowed_rate float8,
    waiting_for text,
    reason text,
    stopped_by text,
    began timestamptz,
    ended timestamptz,
    UNIQUE (run, account)
);

CREATE INDEX bulkupdate_parts_next ON bulkupdate_parts (queue, id)
    WHERE stopped_by IS NULL AND ended IS NULL;

CREATE TABLE bulkupdate_edits (
    part bigint NOT NULL REFERENCES bulkupdate_parts ON DELETE CASCADE,
    row int NOT NULL,
    edit bytea NOT NULL,
    PRIMARY KEY (part, row)
);

-- A row without a result was set aside. A result that is wanted again is kept until then.
CREATE TABLE bulkupdate_results (
    part bigint NOT NULL REFERENCES bulkupdate_parts ON DELETE CASCADE,
    row int NOT NULL,
    outcome text,
    result bytea,
    again boolean NOT NULL DEFAULT false,
    lease bigint NOT NULL DEFAULT 0,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (part, row)
);

CREATE INDEX bulkupdate_results_new ON bulkupdate_results (part, transaction, row);
