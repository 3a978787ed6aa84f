-- The schema of the store, version 1. Embedded in the program and run once, on a new file (store_sqlite.c); also what
-- to read before asking the file questions with the sqlite3 shell. Later versions are migrations from this one: what
-- version 2 adds (tags, debris), and why it lies in tables of its own, is in schema_2.sql; version 3 makes `jobs` and its
-- indexes anew (schema_3.sql), so read that for what they are, and this for what their numbers mean.
--
-- States are the numbers of JOB_STATES in shared/job.h:
--   0 queued   2 retrying   3 succeeded   4 failed   5 cancelled   6, 7: schema_3.sql
--   (1, running, is never stored: it reads as 0)
-- Times are milliseconds since 1970 in UTC; 0 is "not". Durability: 0 memory, 1 process, 2 full.
-- Outcomes: 0 none, 1 success, 2 error, 3 timeout, 4 cancelled, 5 crash, 6 lost. Backoff: 0 exponential, 1 linear, 2 fixed.

-- One row a job. The first 60 bits of an id that carry meaning (time and counter) are the key, so new rows go to the end
-- of the table whatever its size; the other 62 are random and must match. What lists look at stands first, because
-- a row is read from its beginning.
CREATE TABLE jobs (
    id_key          INTEGER PRIMARY KEY,
    id_random       INTEGER NOT NULL,
    state           INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL,
    queue           TEXT NOT NULL,
    task            TEXT NOT NULL,
    -- what changes as the job goes on
    seq             INTEGER NOT NULL,            -- the order of running, within a priority
    run_at_ms       INTEGER NOT NULL DEFAULT 0,  -- when a retrying job is due
    attempt         INTEGER NOT NULL DEFAULT 0,  -- recorded runs
    errors          INTEGER NOT NULL DEFAULT 0,
    crashes         INTEGER NOT NULL DEFAULT 0,
    lost            INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    -- what was asked for
    priority        INTEGER NOT NULL,            -- 0 to 9, 9 first
    durability      INTEGER NOT NULL,
    timeout_ms      INTEGER NOT NULL,
    kill_after_ms   INTEGER NOT NULL,
    max_attempts    INTEGER NOT NULL,
    backoff         INTEGER NOT NULL,
    initial_ms      INTEGER NOT NULL,
    max_ms          INTEGER NOT NULL,
    jitter          INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    idempotency_key TEXT,
    fingerprint     BLOB,
    traceparent     TEXT,
    -- the last attempt, with the columns of `attempts`; NULL throughout until there is one.
    -- number 0 in a terminal row: it ended without a run, at finished_ms
    number          INTEGER,
    outcome         INTEGER,
    retryable       INTEGER,
    started_ms      INTEGER,
    finished_ms     INTEGER,
    worker          INTEGER,
    exit_code       INTEGER,
    signal          INTEGER,
    cpu_us          INTEGER,
    max_rss_bytes   INTEGER,
    progress        REAL,
    progress_ms     INTEGER,
    progress_message TEXT,
    error_code      TEXT,
    error_message   TEXT,
    -- JSON as it was sent; last, because it may run over into further pages
    result          TEXT,
    args            TEXT
);

-- Each index holds only the rows that its one question is about: a finished success, the usual row, is in none.
-- Every insert and update tests these conditions, so they are plain comparisons: "state IN (2, 4, 5)" would build a
-- temporary table each time, which halves the speed of writing.
CREATE INDEX jobs_ready  ON jobs (priority, seq) WHERE state = 0;                 -- what runs next
CREATE INDEX jobs_due    ON jobs (run_at_ms)     WHERE state = 2;                 -- what is retried next
CREATE INDEX jobs_listed ON jobs (state)         WHERE state <> 0 AND state <> 3; -- lists of the rarer states

-- Attempts before the last one.
CREATE TABLE attempts (
    id_key          INTEGER NOT NULL,
    number          INTEGER NOT NULL,
    outcome         INTEGER,
    retryable       INTEGER,
    started_ms      INTEGER,
    finished_ms     INTEGER,
    worker          INTEGER,
    exit_code       INTEGER,
    signal          INTEGER,
    cpu_us          INTEGER,
    max_rss_bytes   INTEGER,
    progress        REAL,
    progress_ms     INTEGER,
    progress_message TEXT,
    error_code      TEXT,
    error_message   TEXT,
    PRIMARY KEY (id_key, number)
) WITHOUT ROWID;

-- Idempotency keys, kept for a day; one that has expired counts as free.
CREATE TABLE keys (
    key             TEXT PRIMARY KEY,
    job_key         INTEGER NOT NULL,
    job_random      INTEGER NOT NULL,
    fingerprint     BLOB NOT NULL,
    expires_ms      INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX keys_expiry ON keys (expires_ms);

-- Jobs per queue, task and state, kept by each transaction that changes them, so that nobody counts rows.
CREATE TABLE counts (
    queue           TEXT NOT NULL,
    task            TEXT NOT NULL,
    state           INTEGER NOT NULL,
    jobs            INTEGER NOT NULL,
    PRIMARY KEY (queue, task, state)
) WITHOUT ROWID;

-- id: of this store, 16 bytes.  clean: 1 if it was closed in order, 0 while open.  seq: the end of the block of
-- places in the order that is in use.  skew_ms: no job's id is further from its created_ms, in either direction.
-- probes: how often a full disk was asked whether it has room again (absent: never).
CREATE TABLE meta (
    name            TEXT PRIMARY KEY,
    value
) WITHOUT ROWID;
INSERT INTO meta VALUES ('clean', 1), ('seq', 0), ('skew_ms', 1024);
