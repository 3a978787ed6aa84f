/* What is in a store, as one number, and whether it makes sense; see power_loss.c. */
#ifndef FORKPOOL_TESTS_POWER_STATE_H
#define FORKPOOL_TESTS_POWER_STATE_H

#include "power_load.h"

static uint64_t mix(uint64_t hash, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u; /* FNV-1a */
    return hash;
}

static uint64_t mix_row(uint64_t hash, sqlite3_stmt *statement)
{
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        int type = sqlite3_column_type(statement, i);
        const void *data = sqlite3_column_blob(statement, i);
        int bytes = sqlite3_column_bytes(statement, i);
        hash = mix(mix(hash, &type, sizeof type), &bytes, sizeof bytes);
        hash = mix(hash, data, (size_t)bytes);
    }
    return hash;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        broken("%s: %s", sql, sqlite3_errmsg(db));
    return statement;
}

static uint64_t mix_rows(uint64_t hash, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = prepare(db, sql);
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        hash = mix_row(hash, statement);
    if (code != SQLITE_DONE)
        broken("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_finalize(statement);
    return hash;
}

/* Every row of every table, and the schema; but not whether it was closed in order, nor which store it is
 * (one that was lost before it was first opened is made anew). A count of 0 is as good as none. */
static uint64_t content_of(struct store *of)
{
    static const char SCHEMA[] = "SELECT name, sql FROM sqlite_schema ORDER BY name";
    sqlite3 *db = of->reader.connection.db;
    uint64_t hash = mix_rows(0xcbf29ce484222325u, db, SCHEMA);
    sqlite3_stmt *tables = prepare(db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    while (sqlite3_step(tables) == SQLITE_ROW) {
        char sql[160];
        const char *name = (const char *)sqlite3_column_text(tables, 0);
        snprintf(sql, sizeof sql, "SELECT * FROM %s %s ORDER BY 1, 2", name,
                 strcmp(name, "meta") == 0     ? "WHERE name NOT IN ('clean', 'id')"
                 : strcmp(name, "counts") == 0 ? "WHERE jobs <> 0"
                                               : "");
        hash = mix_rows(hash, db, sql);
    }
    sqlite3_finalize(tables);
    return hash;
}

/* Each is 0 in a store that makes sense. */
static const struct {
    const char *what, *sql;
} SENSE[] = {
    {"an integrity check", "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"},
    {"the table of counts",
     "WITH truth AS (SELECT queue, task, state, count(*) AS jobs FROM jobs GROUP BY 1, 2, 3),"
     "kept AS (SELECT queue, task, state, jobs FROM counts WHERE jobs <> 0)"
     "SELECT (SELECT count(*) FROM (SELECT * FROM truth EXCEPT SELECT * FROM kept)) +"
     "(SELECT count(*) FROM (SELECT * FROM kept EXCEPT SELECT * FROM truth))"},
    {"who waits for how many",
     "SELECT count(*) FROM jobs WHERE waits <> iif(state = 7, (SELECT count(*) FROM edges "
     "WHERE child_key = id_key AND child_random = id_random), 0)"},
    {"a blocked job that waits for nothing", "SELECT count(*) FROM jobs WHERE state = 7 AND waits = 0"},
    {"somebody who waits for what has ended, or is gone, and is not to be told",
     "SELECT count(*) FROM edges e JOIN jobs c ON c.id_key = e.child_key AND c.state = 7 "
     "WHERE NOT EXISTS (SELECT 1 FROM releases r WHERE r.parent_key = e.parent_key) AND "
     "NOT EXISTS (SELECT 1 FROM jobs p WHERE p.id_key = e.parent_key AND p.state NOT IN (3, 4, 5)) AND "
     "NOT EXISTS (SELECT 1 FROM batches b WHERE b.id_key = e.parent_key AND b.finished_ms = 0)"},
    {"numbers of a batch", "SELECT count(*) FROM batches b WHERE succeeded > jobs OR kept < 1 OR "
                           "(finished_ms > 0) <> (jobs = succeeded + failed + cancelled)"},
    {"a batch whose open jobs are not those in the table",
     "SELECT count(*) FROM batches b WHERE jobs - succeeded - failed - cancelled <> (SELECT count(*) FROM "
     "jobs "
     "WHERE state NOT IN (3, 4, 5) AND (flags & 4) = 0 AND batch IS NOT NULL AND "
     "substr(hex(batch), 1, 12) || substr(hex(batch), 14, 3) = printf('%015X', b.id_key))"},
    {"a uniqueness key that an ended job holds without a period, or one that is gone",
     "SELECT count(*) FROM uniques u WHERE until_ms = 0 AND NOT EXISTS (SELECT 1 FROM jobs "
     "WHERE id_key = u.job_key AND id_random = u.job_random AND state NOT IN (3, 4, 5))"},
    {"an attempt that no job has had",
     "SELECT count(*) FROM attempts a WHERE NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id_key = a.id_key AND "
     "j.attempt >= a.number)"},
    {"a tag of a job that is gone",
     "SELECT count(*) FROM tags WHERE id_key NOT IN (SELECT id_key FROM jobs)"},
    {"a place in the order that was never given",
     "SELECT count(*) FROM jobs WHERE seq > (SELECT value FROM meta WHERE name = 'seq')"},
};

static void makes_sense(struct store *of)
{
    for (size_t i = 0; i < sizeof SENSE / sizeof *SENSE; i++) {
        sqlite3_stmt *statement = prepare(of->reader.connection.db, SENSE[i].sql);
        if (sqlite3_step(statement) != SQLITE_ROW)
            broken("%s: %s", SENSE[i].what, sqlite3_errmsg(of->reader.connection.db));
        if (sqlite3_column_int64(statement, 0) != 0)
            broken("%s: %lld", SENSE[i].what, (long long)sqlite3_column_int64(statement, 0));
        sqlite3_finalize(statement);
    }
}

#endif
