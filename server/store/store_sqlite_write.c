#include "store_sqlite.h"

#include "check.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

enum { SEQ_BLOCK = 100000, KEY_LIFE_MS = 24 * 60 * 60 * 1000 };

/* Binding. at counts the parameters bound so far. */

static void bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    if (text[0] == '\0')
        sqlite3_bind_null(statement, at);
    else
        sqlite3_bind_text(statement, at, text, (int)strlen(text), SQLITE_STATIC);
}

static void bind_bytes(sqlite3_stmt *statement, int at, struct text text)
{
    if (text.at == NULL)
        sqlite3_bind_null(statement, at);
    else
        sqlite3_bind_text64(statement, at, text.at, text.bytes, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_id(sqlite3_stmt *statement, int at, const struct id *id)
{
    if (id_is_none(*id))
        sqlite3_bind_null(statement, at);
    else
        sqlite3_bind_blob(statement, at, id->bytes, sizeof id->bytes, SQLITE_STATIC);
}

#define BIND_INT(at, value)  sqlite3_bind_int64(statement, at, (sqlite3_int64)(value))
#define BIND_REAL(at, value) sqlite3_bind_double(statement, at, value)
#define BIND_TEXT(at, value) bind_text(statement, at, value)
#define BIND_ID(at, value)   bind_id(statement, at, &(value))

static void bind_moving(sqlite3_stmt *statement, int *at, const struct job *job)
{
#define BIND(kind, column, member) BIND_##kind(++*at, job->member);
    JOB_MOVING(BIND)
#undef BIND
}

static void bind_fixed(sqlite3_stmt *statement, int *at, const struct job *job)
{
#define BIND(kind, column, member) BIND_##kind(++*at, job->member);
    JOB_FIXED(BIND)
#undef BIND
}

static void bind_attempt(sqlite3_stmt *statement, int *at, const struct attempt *attempt)
{
#define BIND(kind, column, member) BIND_##kind(++*at, attempt->member);
    ATTEMPT_COLUMNS(BIND)
#undef BIND
}

static void bind_job_id(sqlite3_stmt *statement, int *at, struct id id)
{
    sqlite3_bind_int64(statement, ++*at, id_key(id));
    sqlite3_bind_int64(statement, ++*at, id_random(id));
}

/* The condition of every change: SAME_JOB. */
static void bind_same(sqlite3_stmt *statement, int *at, struct id id, enum job_state state, uint32_t attempt)
{
    bind_job_id(statement, at, id);
    sqlite3_bind_int64(statement, ++*at, state);
    sqlite3_bind_int64(statement, ++*at, attempt);
}

enum err store_checked(struct store *store, enum err err)
{
    if (err != ERR_OK)
        store_rollback(store);
    return err;
}

enum err store_corrupt(const char *operation, struct id id)
{
    LOG(STORE_ERROR, LOG_TEXT("operation", operation), LOG_TEXT("error", "the row is not as it must be"),
        LOG_ID(id));
    return ERR_CORRUPT;
}

/* Counts: differences are gathered per group and written once, at the commit. */

static uint64_t hash_names(const char *queue, const char *task, enum job_state state)
{
    uint64_t hash = 14695981039346656037u + (uint64_t)state; /* FNV-1a */
    for (; *queue != '\0'; queue++)
        hash = (hash ^ (unsigned char)*queue) * 1099511628211u;
    hash = (hash ^ '/') * 1099511628211u;
    for (; *task != '\0'; task++)
        hash = (hash ^ (unsigned char)*task) * 1099511628211u;
    return hash;
}

static bool same_count(const struct count_change *change, uint64_t hash, const struct job_spec *spec,
                       enum job_state state)
{
    return change->hash == hash && change->count.state == state &&
           strcmp(change->count.queue, spec->queue) == 0 && strcmp(change->count.task, spec->task) == 0;
}

static struct count_change *grow_changes(struct store *store)
{
    if (store->change_count == store->change_room) {
        size_t room = store->change_room > 0 ? 2 * store->change_room : 16;
        struct count_change *changes = realloc(store->changes, room * sizeof *changes);
        if (changes == NULL)
            return NULL;
        store->changes = changes;
        store->change_room = room;
    }
    return &store->changes[store->change_count++];
}

/* A group knows few queues and tasks, so a list will do; hashes keep it cheap if it is long all the same. */
enum err store_count_add(struct store *store, const struct job_spec *spec, enum job_state state,
                         int difference)
{
    uint64_t hash = hash_names(spec->queue, spec->task, state);
    for (size_t i = store->change_count; i-- > 0;) {
        if (same_count(&store->changes[i], hash, spec, state)) {
            store->changes[i].count.jobs += difference;
            return ERR_OK;
        }
    }
    struct count_change *change = grow_changes(store);
    if (change == NULL)
        return ERR_NO_MEMORY;
    *change = (struct count_change){.hash = hash, .count = {.state = state, .jobs = difference}};
    memcpy(change->count.queue, spec->queue, sizeof change->count.queue);
    memcpy(change->count.task, spec->task, sizeof change->count.task);
    return ERR_OK;
}

static enum err count_move(struct store *store, const struct job_spec *spec, enum job_state from,
                           enum job_state to)
{
    if (from == to)
        return ERR_OK;
    enum err err = store_count_add(store, spec, from, -1);
    return err != ERR_OK ? err : store_count_add(store, spec, to, 1);
}

enum err store_changes_write(struct store *store)
{
    struct connection *connection = &store->reader.connection;
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < store->change_count; i++) {
        const struct store_count *change = &store->changes[i].count;
        sqlite3_stmt *statement;
        if (change->jobs == 0)
            continue;
        err = store_sql_get(connection, SQL_COUNT_ADD, &statement);
        if (err != ERR_OK)
            return err;
        sqlite3_bind_text(statement, 1, change->queue, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 2, change->task, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 3, change->state);
        sqlite3_bind_int64(statement, 4, change->jobs);
        err = store_sql_done(connection, SQL_COUNT_ADD);
    }
    return err;
}

/* Order. Reserved in blocks: one write more per SEQ_BLOCK jobs. */

static enum err next_seq(struct store *store, int64_t *seq)
{
    if (store->seq_next > store->seq_end) {
        int64_t end = store->seq_next + SEQ_BLOCK - 1;
        enum err err = store_meta_set(&store->reader.connection, "seq", end);
        if (err != ERR_OK)
            return err;
        store->seq_end = end;
    }
    *seq = store->seq_next++;
    return ERR_OK;
}

enum err store_next_seq(struct store *store, int64_t *seq)
{
    CHECK(store->in_group);
    return store_checked(store, next_seq(store, seq));
}

/* How far ids and created_ms lie apart at most: lists by time find their place by key. */
static enum err note_skew(struct store *store, const struct job_spec *spec)
{
    int64_t skew = (id_key(spec->id) >> 12) - spec->created_ms;
    if (skew < 0)
        skew = -skew;
    if (skew <= store->skew_ms)
        return ERR_OK;
    while (store->skew_ms < skew)
        store->skew_ms *= 2;
    return store_meta_set(&store->reader.connection, "skew_ms", store->skew_ms);
}

/* Inserting. Most jobs are new: their row binds nothing of an attempt or a result. */

static enum err insert(struct store *store, const struct job *job, const struct attempt *attempt)
{
    struct connection *connection = &store->reader.connection;
    bool ended =
        attempt != NULL && (attempt->number > 0 || attempt->finished_ms > 0 || job->result.at != NULL);
    enum sql sql = ended ? SQL_INSERT_ENDED : SQL_INSERT;
    sqlite3_stmt *statement;
    int at = 0;
    CHECK(job->state != JOB_RUNNING);
    enum err err = store_sql_get(connection, sql, &statement);
    if (err != ERR_OK)
        return err;
    bind_job_id(statement, &at, job->spec.id);
    bind_fixed(statement, &at, job);
    bind_moving(statement, &at, job);
    bind_bytes(statement, ++at, job->extras);
    bind_bytes(statement, ++at, job->args);
    if (ended) {
        bind_bytes(statement, ++at, job->result);
        bind_attempt(statement, &at, attempt);
    }
    err = store_sql_done(connection, sql);
    if (err == ERR_OK && job->tags.at != NULL)
        err = store_tags_write(store, job);
    if (err == ERR_OK)
        err = note_skew(store, &job->spec);
    if (err == ERR_OK)
        err = store_count_add(store, &job->spec, job->state, 1);
    return err != ERR_OK ? err : store_born(store, job, attempt);
}

/* *taken is false if the key stands already. */
static enum err take_key(struct store *store, const struct job_spec *spec, bool *taken)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    int at = 1;
    enum err err = store_sql_get(connection, SQL_KEY_TAKE, &statement);
    if (err != ERR_OK)
        return err;
    bind_text(statement, 1, spec->idempotency_key);
    bind_job_id(statement, &at, spec->id);
    sqlite3_bind_blob(statement, 4, spec->fingerprint.bytes, sizeof spec->fingerprint.bytes, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 5, spec->created_ms + KEY_LIFE_MS);
    sqlite3_bind_int64(statement, 6, spec->created_ms);
    err = store_sql_done(connection, SQL_KEY_TAKE);
    *taken = err == ERR_OK && sqlite3_changes(connection->db) == 1;
    return err;
}

/* Whose key it is: OK and replayed, KEY_REUSED, or NOT_FOUND, in submit->err. */
static enum err find_key(struct store *store, struct store_submit *submit)
{
    struct connection *connection = &store->reader.connection;
    const struct job_spec *spec = &submit->job->spec;
    sqlite3_stmt *statement;
    bool row;
    enum err err = store_sql_get(connection, SQL_KEY_FIND, &statement);
    if (err != ERR_OK)
        return err;
    bind_text(statement, 1, spec->idempotency_key);
    sqlite3_bind_int64(statement, 2, spec->created_ms);
    err = store_sql_row(connection, SQL_KEY_FIND, &row);
    submit->err = ERR_NOT_FOUND;
    submit->replayed = false;
    if (!row)
        return err;
    submit->original = id_join(sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1));
    const void *print = sqlite3_column_blob(statement, 2);
    submit->replayed = sqlite3_column_bytes(statement, 2) == sizeof spec->fingerprint.bytes &&
                       memcmp(print, spec->fingerprint.bytes, sizeof spec->fingerprint.bytes) == 0;
    submit->err = submit->replayed ? ERR_OK : ERR_KEY_REUSED;
    store_sql_reset(connection, SQL_KEY_FIND);
    return ERR_OK;
}

static enum err refuse_duplicate(struct store_submit *submit, struct id holder)
{
    struct unique_rule rule;
    submit->original = holder;
    submit->returned = extras_unique(submit->job->extras, &rule) && rule.on_conflict == CONFLICT_RETURN;
    submit->err = submit->returned ? ERR_OK : ERR_DUPLICATE_JOB;
    return ERR_OK;
}

static enum err find_standing(struct store *store, struct store_submit *submit)
{
    const struct job_spec *spec = &submit->job->spec;
    struct id holder;
    bool held;
    enum err err = ERR_OK;
    submit->err = ERR_NOT_FOUND;
    if (spec->idempotency_key[0] != '\0')
        err = find_key(store, submit);
    if (err != ERR_OK || submit->err != ERR_NOT_FOUND)
        return err;
    err = store_unique_find(store, submit->job, spec->created_ms, &held, &holder);
    if (err != ERR_OK || !held)
        return err;
    err = refuse_duplicate(submit, holder);
    if (!submit->returned) /* then that it cannot be inserted is the answer */
        submit->err = ERR_NOT_FOUND;
    return err;
}

enum err store_find_standing(struct store *store, struct store_submit *submit)
{
    return store->in_group ? store_checked(store, find_standing(store, submit))
                           : find_standing(store, submit);
}

/* Whether it may be inserted; if not, `submit` says why. Nothing is written before that is known. */
static enum err look_before(struct store *store, struct store_submit *submit, struct wait *wait, bool *may)
{
    const struct job_spec *spec = &submit->job->spec;
    struct id holder;
    bool held = false;
    enum err err = ERR_OK;
    *may = false;
    if (spec->idempotency_key[0] != '\0') {
        err = find_key(store, submit);
        if (err != ERR_OK || submit->err != ERR_NOT_FOUND)
            return err;
        submit->err = ERR_OK;
    }
    err = store_unique_find(store, submit->job, spec->created_ms, &held, &holder);
    if (err != ERR_OK || held)
        return err != ERR_OK ? err : refuse_duplicate(submit, holder);
    err = store_wait_look(store, wait);
    for (size_t i = 0; err == ERR_OK && i < wait->count; i++) {
        if (wait->standings[i] == STANDING_UNKNOWN) {
            submit->err = ERR_UNKNOWN_DEPENDENCY;
            submit->original = wait->after[i];
            return ERR_OK;
        }
    }
    *may = true;
    return err;
}

/* The state may be that of a try before, which was rolled back. */
static void set_waiting(struct job *job, uint32_t waits)
{
    bool later = job->spec.scheduled_ms > job->spec.created_ms;
    job->waits = waits;
    if (waits > 0) {
        job->state = JOB_BLOCKED;
        job->spec.run_at_ms = 0;
    } else if (job->state == JOB_BLOCKED) {
        job->state = later ? JOB_SCHEDULED : JOB_QUEUED;
        job->spec.run_at_ms = later ? job->spec.scheduled_ms : 0;
    }
}

/* One that is unique or waits for others. */
static enum err submit_looking(struct store *store, struct store_submit *submit)
{
    struct job *job = submit->job;
    const struct job_spec *spec = &job->spec;
    struct wait wait = {.after = submit->after,
                        .count = submit->after_count,
                        .policy = (enum after_policy)spec->after_policy};
    bool may;
    enum err err = look_before(store, submit, &wait, &may);
    if (err != ERR_OK || !may)
        return err;
    if (wait.count > 0)
        set_waiting(job, wait.left);
    err = store_unique_take(store, job);
    if (err == ERR_OK)
        err = insert(store, job, &job->attempt);
    if (err == ERR_OK)
        err = store_wait_write(store, &wait, spec->id);
    if (err == ERR_OK && spec->idempotency_key[0] != '\0')
        err = take_key(store, spec, &may);
    return err;
}

static enum err submit_plain(struct store *store, struct store_submit *submit)
{
    const struct job_spec *spec = &submit->job->spec;
    bool taken = true;
    enum err err = spec->idempotency_key[0] != '\0' ? take_key(store, spec, &taken) : ERR_OK;
    if (err != ERR_OK)
        return err;
    return taken ? insert(store, submit->job, &submit->job->attempt) : find_key(store, submit);
}

enum err store_submit(struct store *store, struct store_submit *submit)
{
    bool plain = (submit->job->spec.flags & JOB_FLAG_UNIQUE) == 0 && submit->after_count == 0;
    CHECK(store->in_group && submit->after_count <= AFTER_MAX);
    submit->err = ERR_OK;
    submit->replayed = submit->returned = false;
    return store_checked(store, plain ? submit_plain(store, submit) : submit_looking(store, submit));
}

/* Moving. */

enum err store_glance(struct store *store, struct id id, struct glance *glance)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    int at = 0;
    enum err err = store_sql_get(connection, SQL_GLANCE, &statement);
    if (err != ERR_OK)
        return err;
    bind_job_id(statement, &at, id);
    err = store_sql_row(connection, SQL_GLANCE, &glance->found);
    if (!glance->found)
        return err;
    glance->state = (enum job_state)sqlite3_column_int(statement, 0);
    glance->attempt = (uint32_t)sqlite3_column_int64(statement, 1);
    store_sql_reset(connection, SQL_GLANCE);
    return ERR_OK;
}

/* Copies the recorded attempt, if there is one, to the table of attempts. */
static enum err archive(struct store *store, struct id id, enum job_state from, uint32_t before)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    int at = 0;
    enum err err = store_sql_get(connection, SQL_ARCHIVE, &statement);
    if (err != ERR_OK)
        return err;
    bind_same(statement, &at, id, from, before);
    return store_sql_done(connection, SQL_ARCHIVE);
}

enum err store_change(struct store *store, const struct job *job, const struct attempt *attempt,
                      enum job_state from, uint32_t before, bool *changed)
{
    struct connection *connection = &store->reader.connection;
    enum sql sql = attempt != NULL ? SQL_LAND : SQL_MOVE;
    sqlite3_stmt *statement;
    int at = 0;
    CHECK(job->state != JOB_RUNNING);
    enum err err = store_sql_get(connection, sql, &statement);
    if (err == ERR_OK && attempt != NULL && before > 0)
        err = archive(store, job->spec.id, from, before);
    if (err != ERR_OK)
        return err;
    if (attempt != NULL)
        bind_bytes(statement, ++at, job->result);
    bind_moving(statement, &at, job);
    if (attempt != NULL)
        bind_attempt(statement, &at, attempt);
    bind_same(statement, &at, job->spec.id, from, before);
    err = store_sql_done(connection, sql);
    *changed = err == ERR_OK && sqlite3_changes(connection->db) == 1;
    if (!*changed)
        return err;
    err = count_move(store, &job->spec, from, job->state);
    return err != ERR_OK ? err : store_turned(store, job, attempt, from);
}

struct attempt store_unrun(enum outcome outcome, int64_t finished_ms)
{
    struct attempt attempt = attempt_blank();
    attempt.outcome = (uint8_t)outcome;
    attempt.finished_ms = finished_ms;
    return attempt;
}

/* A job of durability memory that has no row yet. Keys that another has taken meanwhile stay that one's. */
static enum err land_late(struct store *store, const struct job *job, const struct attempt *attempt)
{
    struct id holder;
    bool taken, held;
    enum err err = store_unique_find(store, job, job->spec.created_ms, &held, &holder);
    if (err == ERR_OK && !held)
        err = store_unique_take(store, job);
    if (err == ERR_OK)
        err = insert(store, job, attempt);
    if (err == ERR_OK && job->spec.idempotency_key[0] != '\0')
        err = take_key(store, &job->spec, &taken);
    return err;
}

static enum err land(struct store *store, struct store_land *land)
{
    const struct job *job = land->job;
    struct attempt none;
    const struct attempt *attempt = land->keep_attempt ? &job->attempt : NULL;
    if (attempt == NULL && job_is_terminal(job->state)) {
        none = store_unrun((enum outcome)job->attempt.outcome, job->attempt.finished_ms);
        memcpy(none.error_code, job->attempt.error_code, sizeof none.error_code); /* why: it expired */
        memcpy(none.error_message, job->attempt.error_message, sizeof none.error_message);
        attempt = &none;
    }
    bool may_insert = job->spec.durability == DURABILITY_MEMORY && job->spec.stored == 0;
    struct glance glance = {.found = !may_insert};
    enum err err = may_insert ? store_glance(store, job->spec.id, &glance) : ERR_OK;
    if (err == ERR_OK && !glance.found) {
        land->landed = true;
        return land_late(store, job, attempt);
    }
    if (err == ERR_OK)
        err = store_change(store, job, attempt, JOB_QUEUED, land->before, &land->landed);
    if (err != ERR_OK || land->landed)
        return err;
    err = store_glance(store, job->spec.id, &glance);
    if (err == ERR_OK &&
        (!glance.found || (!job_is_terminal(glance.state) && glance.attempt <= land->before)))
        return store_corrupt("land", job->spec.id);
    return err;
}

enum err store_land(struct store *store, struct store_land *operation)
{
    CHECK(store->in_group);
    operation->landed = false;
    return store_checked(store, land(store, operation));
}

enum err store_sweep_keys(struct store *store, int64_t now_ms, size_t limit)
{
    static const enum sql SWEEPS[] = {SQL_KEY_SWEEP, SQL_UNIQUE_SWEEP};
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    enum err err = ERR_OK;
    CHECK(store->in_group);
    for (size_t i = 0; err == ERR_OK && i < sizeof SWEEPS / sizeof *SWEEPS; i++) {
        err = store_sql_get(connection, SWEEPS[i], &statement);
        if (err != ERR_OK)
            break;
        sqlite3_bind_int64(statement, 1, now_ms);
        sqlite3_bind_int64(statement, 2, (sqlite3_int64)limit);
        err = store_sql_done(connection, SWEEPS[i]);
    }
    return store_checked(store, err);
}
