#include "store_sqlite.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOOK_MAX = 50000,  /* rows that one page of a list looks at */
    SORTED_MAX = 10000 /* queued jobs that are sorted by id; more are found by walking all jobs */
};

/* Reading columns. */

static void read_text(sqlite3_stmt *statement, int at, char *to, size_t room)
{
    const char *from = sqlite3_column_blob(statement, at); /* blob: text as it is, without a copy for a NUL */
    int bytes = sqlite3_column_bytes(statement, at);
    text_copy(to, room, from != NULL ? from : "", from != NULL ? (size_t)bytes : 0);
}

static void read_id(sqlite3_stmt *statement, int at, struct id *id)
{
    if (sqlite3_column_bytes(statement, at) == sizeof id->bytes)
        memcpy(id->bytes, sqlite3_column_blob(statement, at), sizeof id->bytes);
}

static enum err read_bytes(sqlite3_stmt *statement, int at, struct text *text, void **owned)
{
    if (sqlite3_column_type(statement, at) == SQLITE_NULL)
        return ERR_OK;
    const void *from = sqlite3_column_blob(statement, at);
    size_t bytes = (size_t)sqlite3_column_bytes(statement, at);
    *owned = malloc(bytes > 0 ? bytes : 1);
    if (*owned == NULL || (from == NULL && bytes > 0))
        return ERR_NO_MEMORY;
    if (bytes > 0)
        memcpy(*owned, from, bytes);
    *text = (struct text){*owned, bytes};
    return ERR_OK;
}

/* NULL leaves the blank value. */
#define READ_INT(at, to)                                                                                     \
    if (sqlite3_column_type(statement, at) != SQLITE_NULL)                                                   \
    (to) = (__typeof__(to))sqlite3_column_int64(statement, at)
#define READ_REAL(at, to)                                                                                    \
    if (sqlite3_column_type(statement, at) != SQLITE_NULL)                                                   \
    (to) = sqlite3_column_double(statement, at)
#define READ_TEXT(at, to) read_text(statement, at, to, sizeof(to))
#define READ_ID(at, to)   read_id(statement, at, &(to))

static void read_spec(sqlite3_stmt *statement, int *at, struct job *job)
{
#define READ(kind, column, member)                                                                           \
    READ_##kind(*at, job->member);                                                                           \
    ++*at;
    JOB_FIXED(READ)
    JOB_MOVING(READ)
#undef READ
}

static void read_attempt(sqlite3_stmt *statement, int *at, struct attempt *attempt)
{
#define READ(kind, column, member)                                                                           \
    READ_##kind(*at, attempt->member);                                                                       \
    ++*at;
    ATTEMPT_COLUMNS(READ)
#undef READ
}

enum err store_row_read(sqlite3_stmt *statement, bool with_bytes, struct job **job)
{
    JOB_AUTO read = job_new();
    int at = 2;
    enum err err = ERR_OK;
    if (read == NULL)
        return ERR_NO_MEMORY;
    read->spec.id = id_join(sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1));
    read->spec.stored = 1;
    read_spec(statement, &at, read);
    read_attempt(statement, &at, &read->attempt);
    err = read_bytes(statement, at++, &read->tags, &read->owned[2]);
    if (err == ERR_OK)
        err = read_bytes(statement, at++, &read->extras, &read->owned[3]);
    if (with_bytes && err == ERR_OK)
        err = read_bytes(statement, at++, &read->args, &read->owned[0]);
    if (with_bytes && err == ERR_OK)
        err = read_bytes(statement, at, &read->result, &read->owned[1]);
    if (err != ERR_OK)
        return err;
    *job = read;
    read = NULL;
    return ERR_OK;
}

/* One job. */

enum err store_get(struct store_reader *reader, struct id id, struct job **job)
{
    struct connection *connection = &reader->connection;
    sqlite3_stmt *statement;
    bool row;
    enum err err = store_sql_get(connection, SQL_GET, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(id));
    sqlite3_bind_int64(statement, 2, id_random(id));
    err = store_sql_row(connection, SQL_GET, &row);
    if (!row)
        return err != ERR_OK ? err : ERR_UNKNOWN_JOB;
    err = store_row_read(statement, true, job);
    store_sql_reset(connection, SQL_GET);
    return err;
}

enum err store_get_bare(struct store_reader *reader, struct id id, struct job **job)
{
    struct connection *connection = &reader->connection;
    JOB_AUTO read = NULL;
    sqlite3_stmt *statement;
    bool row;
    enum err err = store_sql_get(connection, SQL_ROW, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(id));
    err = store_sql_row(connection, SQL_ROW, &row);
    if (!row)
        return err != ERR_OK ? err : ERR_UNKNOWN_JOB;
    err = store_row_read(statement, false, &read);
    store_sql_reset(connection, SQL_ROW);
    if (err != ERR_OK || !id_equal(read->spec.id, id))
        return err != ERR_OK ? err : ERR_UNKNOWN_JOB;
    *job = read;
    read = NULL;
    return ERR_OK;
}

/* Reads of several statements see one state of the store. On the writer's connection they may stand inside a
 * group, which is such a state already. */
static enum err snapshot_begin(struct store_reader *reader, bool *begun)
{
    *begun = sqlite3_get_autocommit(reader->connection.db) != 0;
    return *begun ? store_sql_done(&reader->connection, SQL_SNAPSHOT) : ERR_OK;
}

static enum err snapshot_end(struct store_reader *reader, bool begun, enum err err)
{
    enum err ended = begun && !sqlite3_get_autocommit(reader->connection.db)
                         ? store_sql_done(&reader->connection, SQL_COMMIT)
                         : ERR_OK;
    return err != ERR_OK ? err : ended;
}

static struct attempt *grow_attempts(struct attempt **attempts, size_t count)
{
    if ((count & (count - 1)) == 0) { /* room for 1, 2, 4, 8 … */
        struct attempt *grown = realloc(*attempts, (count > 0 ? 2 * count : 1) * sizeof *grown);
        if (grown == NULL)
            return NULL;
        *attempts = grown;
    }
    (*attempts)[count] = attempt_blank();
    return &(*attempts)[count];
}

static enum err read_attempts(struct store_reader *reader, struct id id, struct attempt **attempts,
                              size_t *count)
{
    struct connection *connection = &reader->connection;
    sqlite3_stmt *statement;
    JOB_AUTO job = NULL;
    bool row;
    enum err err = store_get(reader, id, &job);
    if (err == ERR_OK)
        err = store_sql_get(connection, SQL_ATTEMPTS, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(id));
    while ((err = store_sql_row(connection, SQL_ATTEMPTS, &row)) == ERR_OK && row) {
        struct attempt *attempt = grow_attempts(attempts, *count);
        int at = 1;
        if (attempt == NULL)
            break;
        read_attempt(statement, &at, attempt);
        ++*count;
    }
    store_sql_reset(connection, SQL_ATTEMPTS);
    if (err != ERR_OK || row || job->attempt.number == 0)
        return row ? ERR_NO_MEMORY : err;
    struct attempt *last = grow_attempts(attempts, *count);
    if (last == NULL)
        return ERR_NO_MEMORY;
    *last = job->attempt;
    ++*count;
    return ERR_OK;
}

enum err store_attempts(struct store_reader *reader, struct id id, struct attempt **attempts, size_t *count)
{
    bool begun;
    *attempts = NULL;
    *count = 0;
    enum err err = snapshot_begin(reader, &begun);
    if (err == ERR_OK)
        err = snapshot_end(reader, begun, read_attempts(reader, id, attempts, count));
    if (err != ERR_OK) {
        free(*attempts);
        *attempts = NULL;
        *count = 0;
    }
    return err;
}

/* Lists. A walk goes over the few columns that filters need; what passes is fetched whole by its key. */

struct walk {
    enum { WALK_ALL, WALK_QUEUED, WALK_LISTED, WALK_TAG, WALK_BATCH } kind;
    enum sql sql;
    sqlite3_stmt *statement; /* of SELECT_GLANCE */
    int64_t below, from;     /* keys: below > key ≥ from */
};

static bool text_is(sqlite3_stmt *statement, int at, const char *text)
{
    size_t bytes = (size_t)sqlite3_column_bytes(statement, at);
    return text[0] == '\0' ||
           (strlen(text) == bytes && memcmp(sqlite3_column_blob(statement, at), text, bytes) == 0);
}

static bool passes(const struct store_filter *filter, sqlite3_stmt *glance)
{
    int64_t created_ms = sqlite3_column_int64(glance, 2);
    return (!filter->by_state || sqlite3_column_int(glance, 1) == (int)filter->state) &&
           (filter->created_after_ms < 0 || created_ms > filter->created_after_ms) &&
           (filter->created_before_ms < 0 || created_ms < filter->created_before_ms) &&
           text_is(glance, 3, filter->queue) && text_is(glance, 4, filter->task);
}

int64_t store_key_at_ms(int64_t ms)
{
    const int64_t most = INT64_MAX >> 13;
    return (ms < 0 ? 0 : ms > most ? most : ms) << 12;
}

/* A text that can only be an id says itself where its key lies. */
static void bound_by_text(const struct store_filter *filter, struct walk *walk)
{
    int64_t from, below;
    if (!store_text_keys(filter->text, &from, &below))
        return;
    if (from > walk->from)
        walk->from = from;
    if (below < walk->below)
        walk->below = below;
}

/* Where keys of jobs created in that time can lie: ids and created_ms are never further apart than skew_ms.
 */
static enum err bound_by_time(struct store_reader *reader, const struct store_filter *filter,
                              struct walk *walk)
{
    int64_t skew_ms;
    walk->below = filter->ascending ? INT64_MAX : filter->before_key;
    walk->from = filter->ascending ? filter->after_key + 1 : 0;
    bound_by_text(filter, walk);
    if (filter->created_after_ms < 0 && filter->created_before_ms < 0)
        return ERR_OK;
    enum err err = store_meta_get(&reader->connection, "skew_ms", &skew_ms);
    if (filter->created_after_ms >= 0 && store_key_at_ms(filter->created_after_ms - skew_ms) > walk->from)
        walk->from = store_key_at_ms(filter->created_after_ms - skew_ms);
    if (filter->created_before_ms >= 0 && store_key_at_ms(filter->created_before_ms + skew_ms) < walk->below)
        walk->below = store_key_at_ms(filter->created_before_ms + skew_ms);
    return err;
}

/* The rarer states have an index in order of keys. Queued jobs have one in order of running: good to find few
 * among many others; if there are many, walking all jobs meets them soon. */
static enum err choose_walk(struct store_reader *reader, const struct store_filter *filter, struct walk *walk)
{
    struct connection *connection = &reader->connection;
    bool row;
    walk->kind = !id_is_none(filter->batch) ? WALK_BATCH : filter->tag[0] != '\0' ? WALK_TAG : WALK_ALL;
    if (walk->kind != WALK_ALL || !filter->by_state || filter->state == JOB_SUCCEEDED)
        return ERR_OK;
    if (filter->state != JOB_QUEUED) {
        walk->kind = WALK_LISTED;
        return ERR_OK;
    }
    enum err err = store_sql_row(connection, SQL_COUNT_QUEUED, &row);
    if (row && sqlite3_column_int64(connection->statements[SQL_COUNT_QUEUED], 0) <= SORTED_MAX)
        walk->kind = WALK_QUEUED;
    store_sql_reset(connection, SQL_COUNT_QUEUED);
    return err;
}

static enum err walk_begin(struct store_reader *reader, const struct store_filter *filter, struct walk *walk)
{
    static const enum sql SQLS[][2] = {[WALK_ALL] = {SQL_WALK, SQL_WALK_UP},
                                       [WALK_QUEUED] = {SQL_WALK_QUEUED, SQL_WALK_QUEUED_UP},
                                       [WALK_LISTED] = {SQL_WALK_LISTED, SQL_WALK_LISTED_UP},
                                       [WALK_TAG] = {SQL_WALK_TAG, SQL_WALK_TAG_UP},
                                       [WALK_BATCH] = {SQL_WALK_BATCH, SQL_WALK_BATCH_UP}};
    enum err err = bound_by_time(reader, filter, walk);
    if (err == ERR_OK)
        err = choose_walk(reader, filter, walk);
    walk->sql = SQLS[walk->kind][filter->ascending];
    if (err == ERR_OK)
        err = store_sql_get(&reader->connection, walk->sql, &walk->statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(walk->statement, 1, walk->below);
    sqlite3_bind_int64(walk->statement, 2, walk->from);
    if (walk->kind == WALK_LISTED)
        sqlite3_bind_int64(walk->statement, 3, filter->state);
    if (walk->kind == WALK_TAG)
        sqlite3_bind_text(walk->statement, 3, filter->tag, -1, SQLITE_STATIC);
    if (walk->kind == WALK_BATCH)
        sqlite3_bind_blob(walk->statement, 3, filter->batch.bytes, sizeof filter->batch.bytes, SQLITE_STATIC);
    return ERR_OK;
}

/* Only where the walk itself is not one of the tag. */
static enum err passes_tag(struct store_reader *reader, const struct store_filter *filter,
                           sqlite3_stmt *glance, bool *found)
{
    struct connection *connection = &reader->connection;
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_TAG_HAS, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_text(statement, 1, filter->tag, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, sqlite3_column_int64(glance, 0));
    err = store_sql_row(connection, SQL_TAG_HAS, found);
    store_sql_reset(connection, SQL_TAG_HAS);
    return err;
}

/* Looked at last, since it costs a look at the row by its key; so a walk without a text pays nothing for it.
 */
static enum err passes_text(struct store_reader *reader, const struct store_filter *filter,
                            sqlite3_stmt *glance, bool *found)
{
    struct connection *connection = &reader->connection;
    sqlite3_stmt *statement;
    int64_t key = sqlite3_column_int64(glance, 0);
    char task[NAME_BYTES], message[MESSAGE_BYTES];
    bool row;
    enum err err = store_sql_get(connection, SQL_TEXTS, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, key);
    err = store_sql_row(connection, SQL_TEXTS, &row);
    if (err != ERR_OK)
        return err;
    CHECK(row); /* the walk is on it, in the same snapshot */
    read_text(glance, 4, task, sizeof task);
    read_text(statement, 1, message, sizeof message);
    *found = store_text_is(filter->text, id_join(key, sqlite3_column_int64(statement, 0)), task, message);
    store_sql_reset(connection, SQL_TEXTS);
    return ERR_OK;
}

static enum err fetch_row(struct store_reader *reader, int64_t key, struct job **job)
{
    struct connection *connection = &reader->connection;
    sqlite3_stmt *statement;
    bool row;
    enum err err = store_sql_get(connection, SQL_ROW, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, key);
    err = store_sql_row(connection, SQL_ROW, &row);
    if (err != ERR_OK)
        return err;
    CHECK(row); /* the walk is on it, in the same snapshot */
    err = store_row_read(statement, false, job);
    store_sql_reset(connection, SQL_ROW);
    return err;
}

/* Ends at the first wanted row beyond the page (so that -1 means the end and not perhaps the end), or after
 * LOOK_MAX. */
static enum err walk_page(struct store_reader *reader, const struct store_filter *filter, struct job **jobs,
                          size_t *count, int64_t *next_key)
{
    struct walk walk;
    bool row;
    int64_t last_key = filter->ascending ? filter->after_key : filter->before_key;
    enum err err = walk_begin(reader, filter, &walk);
    if (err != ERR_OK)
        return err;
    *next_key = -1;
    for (int looked = 0; (err = store_sql_row(&reader->connection, walk.sql, &row)) == ERR_OK && row;
         looked++) {
        bool found = passes(filter, walk.statement);
        if (found && filter->tag[0] != '\0' && walk.kind != WALK_TAG)
            err = passes_tag(reader, filter, walk.statement, &found);
        if (err == ERR_OK && found && filter->text[0] != '\0')
            err = passes_text(reader, filter, walk.statement, &found);
        if (err != ERR_OK)
            break;
        if (looked == LOOK_MAX || (found && *count == filter->limit)) {
            *next_key = last_key;
            break;
        }
        last_key = sqlite3_column_int64(walk.statement, 0);
        if (!found)
            continue;
        err = fetch_row(reader, last_key, &jobs[*count]);
        if (err != ERR_OK)
            break;
        ++*count;
    }
    store_sql_reset(&reader->connection, walk.sql);
    return err;
}

enum err store_list(struct store_reader *reader, const struct store_filter *filter, struct job **jobs,
                    size_t *count, int64_t *next_key)
{
    bool begun;
    CHECK(!filter->by_state || filter->state != JOB_RUNNING);
    *count = 0;
    enum err err = snapshot_begin(reader, &begun);
    if (err == ERR_OK)
        err = snapshot_end(reader, begun, walk_page(reader, filter, jobs, count, next_key));
    while (err != ERR_OK && *count > 0)
        job_free(jobs[--*count]);
    return err;
}

/* Lanes. */

static void read_lane(sqlite3_stmt *statement, struct store_lane *lane)
{
    lane->lane = lane->spec.lane = sqlite3_column_int64(statement, 0);
    lane->first_seq = sqlite3_column_int64(statement, 1);
    lane->last_seq = sqlite3_column_int64(statement, 2);
    lane->jobs = sqlite3_column_int64(statement, 3);
    lane->first_created_ms = sqlite3_column_int64(statement, 4);
    lane->spec.priority = (uint8_t)sqlite3_column_int(statement, 5);
    read_text(statement, 6, lane->spec.queue, sizeof lane->spec.queue);
    read_text(statement, 7, lane->spec.task, sizeof lane->spec.task);
    read_text(statement, 8, lane->spec.concurrency_key, sizeof lane->spec.concurrency_key);
}

enum err store_lanes(struct store_reader *reader, store_lane_fn *visit, void *context)
{
    struct connection *connection = &reader->connection;
    bool row;
    enum err err;
    while ((err = store_sql_row(connection, SQL_LANES, &row)) == ERR_OK && row) {
        struct store_lane lane = {0};
        read_lane(connection->statements[SQL_LANES], &lane);
        err = visit(context, &lane);
        if (err != ERR_OK)
            break;
    }
    store_sql_reset(connection, SQL_LANES);
    return err;
}

/* Counts. */

static enum err read_counts(struct store_reader *reader, struct store_count **counts, size_t *count)
{
    struct connection *connection = &reader->connection;
    size_t room = 0;
    bool row;
    enum err err;
    while ((err = store_sql_row(connection, SQL_COUNTS, &row)) == ERR_OK && row) {
        sqlite3_stmt *statement = connection->statements[SQL_COUNTS];
        if (*count == room) {
            room = room > 0 ? 2 * room : 16;
            struct store_count *grown = realloc(*counts, room * sizeof *grown);
            if (grown == NULL)
                return ERR_NO_MEMORY;
            *counts = grown;
        }
        struct store_count *next = &(*counts)[(*count)++];
        read_text(statement, 0, next->queue, sizeof next->queue);
        read_text(statement, 1, next->task, sizeof next->task);
        next->state = (enum job_state)sqlite3_column_int(statement, 2);
        next->jobs = sqlite3_column_int64(statement, 3);
    }
    return err;
}

enum err store_counts(struct store_reader *reader, struct store_count **counts, size_t *count)
{
    *counts = NULL;
    *count = 0;
    enum err err = read_counts(reader, counts, count);
    store_sql_reset(&reader->connection, SQL_COUNTS);
    if (err != ERR_OK) {
        free(*counts);
        *counts = NULL;
        *count = 0;
    }
    return err;
}
