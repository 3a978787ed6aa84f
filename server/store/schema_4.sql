-- The schema of the store, version 4: what it adds to version 3: jobs that wait for each other, uniqueness keys, batches,
-- schedules. Run once, on a new file after schema_3.sql and on a file of version 3 when it is first opened. No row of
-- version 3 is touched; only the index is built over them.

-- Who waits for whom, until the one before (parent, a job or a batch) has ended and the one behind it (child) was told.
-- The column `waits` of a blocked child counts its rows here; one that has ended otherwise may have some left.
CREATE TABLE edges (
    parent_key      INTEGER NOT NULL,
    parent_random   INTEGER NOT NULL,
    child_key       INTEGER NOT NULL,
    child_random    INTEGER NOT NULL,
    PRIMARY KEY (parent_key, child_key)
) WITHOUT ROWID;

-- Parents that have ended and whose children are still to be told, in batches, oldest first. Written with the end.
-- state: 3 succeeded, 4 failed, 5 cancelled; of a batch 3 if all of its jobs succeeded, else 4.
CREATE TABLE releases (
    number          INTEGER PRIMARY KEY,
    parent_key      INTEGER NOT NULL UNIQUE,
    parent_random   INTEGER NOT NULL,
    state           INTEGER NOT NULL
);

-- Uniqueness keys that are held, by jobs with flag 1. until_ms 0: until the job has ended.
CREATE TABLE uniques (
    key             TEXT PRIMARY KEY,
    job_key         INTEGER NOT NULL,
    job_random      INTEGER NOT NULL,
    until_ms        INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX uniques_until ON uniques (until_ms) WHERE until_ms > 0;

-- Sets of jobs that came in one request. Those with flag 4 wait for it and do not count in `jobs`. `kept`: how many
-- rows of jobs name it, with those that wait for it.
CREATE TABLE batches (
    id_key          INTEGER PRIMARY KEY,
    id_random       INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL,
    finished_ms     INTEGER NOT NULL DEFAULT 0,
    jobs            INTEGER NOT NULL DEFAULT 0,
    succeeded       INTEGER NOT NULL DEFAULT 0,
    failed          INTEGER NOT NULL DEFAULT 0,
    cancelled       INTEGER NOT NULL DEFAULT 0,
    kept            INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX jobs_batch ON jobs (batch) WHERE batch IS NOT NULL;

-- body: what it is (server/dispatcher/schedules.h). next_ms: when it is due next.
CREATE TABLE schedules (
    name            TEXT PRIMARY KEY,
    body            TEXT NOT NULL,
    next_ms         INTEGER NOT NULL,
    last_ms         INTEGER NOT NULL,
    last_job        BLOB,
    made            INTEGER NOT NULL,
    skipped         INTEGER NOT NULL
) WITHOUT ROWID;
