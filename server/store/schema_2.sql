-- The schema of the store, version 2: what it adds to version 1 (schema.sql). Run once, on a new file after schema.sql
-- and on a file of version 1 when it is first opened. No row of version 1 is touched, so that takes no time.

-- Tags lie beside the jobs and not in a column of theirs: a job without tags writes nothing here, and its row is what
-- it was. Two tables, because there are two questions. `tagged` is the job's array as it stands in its document (JSON,
-- each tag once, as they were given). `tags` has a row for each tag, newest id last within a tag, so that a page of a
-- list by tag is one short walk, however many other jobs there are. Both change only with the insert and the delete of
-- the job, or when its tags are replaced on request.
CREATE TABLE tagged (
    id_key          INTEGER PRIMARY KEY,
    tags            TEXT NOT NULL
);
CREATE TABLE tags (
    tag             TEXT NOT NULL,
    id_key          INTEGER NOT NULL,
    PRIMARY KEY (tag, id_key)
) WITHOUT ROWID;

-- Forgotten jobs whose log files may still be there: written with the delete, gone once they are unlinked, so a kill in
-- between leaves no file behind for ever. Logs have the numbers 1 to `attempts`.
CREATE TABLE debris (
    id_key          INTEGER PRIMARY KEY,
    id_random       INTEGER NOT NULL,
    attempts        INTEGER NOT NULL
);

-- A succeeded job whose `result` is NULL had one (JSON null is the text "null"): it was kept for its time
-- (jobs.retain_results) and is gone.
