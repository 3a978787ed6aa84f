-- The schema of the store, version 3: `jobs` as it is, with lanes, times and what few jobs have (extras); settings.
-- Run once, on a new file after schema_2.sql and on an older file when it is first opened. It builds the table anew, so
-- that columns stand in a good order; that takes some seconds for a million rows. Numbers mean what schema.sql says,
-- and: state 6 scheduled, 7 blocked. What ended is 3, 4 or 5, and nothing else.

-- What lists look at and what changes stands first, because a row is read from its beginning; what may run over into
-- further pages stands last.
CREATE TABLE jobs_3 (
    id_key          INTEGER PRIMARY KEY,
    id_random       INTEGER NOT NULL,
    state           INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL,
    queue           TEXT NOT NULL,
    task            TEXT NOT NULL,
    -- what changes as the job goes on
    lane            INTEGER NOT NULL,            -- the line it waits in: job_lane() in shared/job.c
    seq             INTEGER NOT NULL,            -- the order of running, within a lane
    priority        INTEGER NOT NULL,            -- 0 to 9, 9 first
    run_at_ms       INTEGER NOT NULL DEFAULT 0,  -- when a scheduled or retrying job is due
    scheduled_ms    INTEGER NOT NULL DEFAULT 0,  -- when it was asked to run; stays
    expires_ms      INTEGER NOT NULL DEFAULT 0,  -- if it was not started by then, it fails
    attempt         INTEGER NOT NULL DEFAULT 0,  -- recorded runs
    errors          INTEGER NOT NULL DEFAULT 0,
    crashes         INTEGER NOT NULL DEFAULT 0,
    lost            INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    waits           INTEGER NOT NULL DEFAULT 0,  -- how many jobs a blocked one waits for
    -- what was asked for
    durability      INTEGER NOT NULL,
    timeout_ms      INTEGER NOT NULL,
    kill_after_ms   INTEGER NOT NULL,
    max_attempts    INTEGER NOT NULL,
    backoff         INTEGER NOT NULL,
    initial_ms      INTEGER NOT NULL,
    max_ms          INTEGER NOT NULL,
    jitter          INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    flags           INTEGER NOT NULL DEFAULT 0,  -- 1: it holds a uniqueness key, 2: results of others are handed to it
    after_policy    INTEGER NOT NULL DEFAULT 0,  -- 0 cancel, 1 fail, 2 run
    concurrency_key TEXT,
    batch           BLOB,
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
    -- JSON; result and args as they were sent, extras as shared/extras.h has it
    extras          TEXT,
    result          TEXT,
    args            TEXT
);

-- forkpool_lane is the program's own function: job_lane() of a job without a concurrency key.
INSERT INTO jobs_3 (id_key, id_random, state, created_ms, queue, task, lane, seq, priority, run_at_ms, attempt, errors,
    crashes, lost, cancel_requested, durability, timeout_ms, kill_after_ms, max_attempts, backoff, initial_ms, max_ms,
    jitter, epoch, idempotency_key, fingerprint, traceparent, number, outcome, retryable, started_ms, finished_ms,
    worker, exit_code, signal, cpu_us, max_rss_bytes, progress, progress_ms, progress_message, error_code,
    error_message, result, args)
SELECT id_key, id_random, state, created_ms, queue, task, forkpool_lane(priority, queue, task), seq, priority, run_at_ms,
    attempt, errors, crashes, lost, cancel_requested, durability, timeout_ms, kill_after_ms, max_attempts, backoff,
    initial_ms, max_ms, jitter, epoch, idempotency_key, fingerprint, traceparent, number, outcome, retryable,
    started_ms, finished_ms, worker, exit_code, signal, cpu_us, max_rss_bytes, progress, progress_ms,
    progress_message, error_code, error_message, result, args
FROM jobs ORDER BY id_key;
DROP TABLE jobs;
ALTER TABLE jobs_3 RENAME TO jobs;

-- Each index holds only the rows that its one question is about: a finished success, the usual row, is in none. Plain
-- comparisons, for the reason given in schema.sql.
CREATE INDEX jobs_ready     ON jobs (lane, seq)   WHERE state = 0;                -- what runs next in a lane
CREATE INDEX jobs_due       ON jobs (run_at_ms)   WHERE state = 2;                -- what is retried next
CREATE INDEX jobs_scheduled ON jobs (run_at_ms)   WHERE state = 6;                -- whose time comes next
CREATE INDEX jobs_expiry    ON jobs (expires_ms)                                  -- who is to be started next, or fails
    WHERE expires_ms > 0 AND attempt = 0 AND state <> 3 AND state <> 4 AND state <> 5;
CREATE INDEX jobs_listed    ON jobs (state)       WHERE state <> 0 AND state <> 3; -- lists of the rarer states

-- What was set by request and outlives the server. kind: 0 of the server, 1 of a queue, 2 of a task. body: JSON.
CREATE TABLE settings (
    kind            INTEGER NOT NULL,
    name            TEXT NOT NULL,
    body            TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
