#include "store_sqlite.h"

#include <stdlib.h>
#include <string.h>

static const char RESULT[] = "\"result\":", OMITTED[] = "\"omitted\":true";

/* An array of inputs as it is built. */
struct inputs {
    struct buf *out;
    size_t left; /* by how many bytes results may make it larger than it is without them */
    bool omitted;
};

static void put_text(struct buf *out, sqlite3_stmt *statement, int at)
{
    const char *text = sqlite3_column_blob(statement, at);
    buf_put_json(out, text != NULL ? text : "", (size_t)sqlite3_column_bytes(statement, at));
}

/* A result that is shorter than the word that it was omitted costs nothing. */
static void put_result(struct inputs *inputs, sqlite3_stmt *statement, int at)
{
    const char *result = sqlite3_column_blob(statement, at);
    size_t bytes = (size_t)sqlite3_column_bytes(statement, at);
    if (result == NULL) {
        result = "null";
        bytes = strlen(result);
    }
    size_t with = strlen(RESULT) + bytes, without = strlen(OMITTED);
    size_t more = with > without ? with - without : 0;
    if (more > inputs->left) {
        inputs->omitted = true;
        buf_put(inputs->out, OMITTED);
        return;
    }
    inputs->left -= more;
    buf_put(inputs->out, RESULT);
    buf_add(inputs->out, result, bytes);
}

static void put_job(struct inputs *inputs, sqlite3_stmt *statement)
{
    struct buf *out = inputs->out;
    buf_put(out, ",\"task\":");
    put_text(out, statement, 0);
    buf_printf(out, ",\"state\":\"%s\",", job_state_text((enum job_state)sqlite3_column_int(statement, 1)));
    put_result(inputs, statement, 4);
    if (sqlite3_column_bytes(statement, 2) == 0)
        return;
    buf_put(out, ",\"error\":{\"code\":");
    put_text(out, statement, 2);
    buf_put(out, ",\"message\":");
    put_text(out, statement, 3);
    buf_put(out, "}");
}

/* A job of it may be running again. */
static void put_batch(struct buf *out, const struct store_batch *batch)
{
    enum job_state state = batch->finished_ms == 0           ? JOB_RUNNING
                           : batch->succeeded == batch->jobs ? JOB_SUCCEEDED
                                                             : JOB_FAILED;
    buf_printf(out, ",\"batch\":true,\"state\":\"%s\",\"jobs\":%lld,\"succeeded\":%lld,\"failed\":%lld,",
               job_state_text(state), (long long)batch->jobs, (long long)batch->succeeded,
               (long long)batch->failed);
    buf_printf(out, "\"cancelled\":%lld", (long long)batch->cancelled);
}

static enum err put_other(struct store *store, struct inputs *inputs, struct id id)
{
    struct store_batch batch;
    enum err err = store_batch_look(store, id, &batch);
    if (err == ERR_OK)
        put_batch(inputs->out, &batch);
    else if (err == ERR_UNKNOWN_BATCH)
        buf_put(inputs->out, ",\"state\":null");
    return err == ERR_UNKNOWN_BATCH ? ERR_OK : err;
}

static enum err put_input(struct store *store, struct inputs *inputs, struct id id)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    char text[ID_TEXT_BYTES];
    bool row;
    enum err err = store_sql_get(connection, SQL_INPUT, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(id));
    sqlite3_bind_int64(statement, 2, id_random(id));
    err = store_sql_row(connection, SQL_INPUT, &row);
    if (err != ERR_OK)
        return err;
    id_format(id, text);
    buf_printf(inputs->out, "{\"id\":\"%s\"", text);
    if (row)
        put_job(inputs, statement);
    store_sql_reset(connection, SQL_INPUT);
    if (!row)
        err = put_other(store, inputs, id);
    buf_put(inputs->out, "}");
    return err;
}

static enum err put_all(struct store *store, struct inputs *inputs, const struct id *ids, size_t count)
{
    enum err err = ERR_OK;
    buf_put(inputs->out, "[");
    for (size_t i = 0; err == ERR_OK && i < count; i++) {
        if (i > 0)
            buf_put(inputs->out, ",");
        err = put_input(store, inputs, ids[i]);
    }
    buf_put(inputs->out, "]");
    return err != ERR_OK || !inputs->out->failed ? err : ERR_NO_MEMORY;
}

/* What it takes without results must be known before one can be let in: so with a limit it is written twice.
 */
static enum err build(struct store *store, struct buf *out, const struct id *ids, size_t count)
{
    struct inputs inputs = {.out = out, .left = store->inputs_most == SIZE_MAX ? SIZE_MAX : 0};
    enum err err = put_all(store, &inputs, ids, count);
    if (err != ERR_OK || !inputs.omitted || out->bytes >= store->inputs_most)
        return err;
    inputs.left = store->inputs_most - out->bytes;
    out->bytes = 0;
    return put_all(store, &inputs, ids, count);
}

enum err store_inputs(struct store *store, struct job *job)
{
    struct id ids[AFTER_MAX];
    BUF_AUTO out = {0};
    if ((job->spec.flags & JOB_FLAG_INPUTS) == 0)
        return ERR_OK;
    enum err err = build(store, &out, ids, extras_after(job->extras, ids));
    if (err != ERR_OK)
        return err;
    size_t bytes;
    char *text = buf_take(&out, &bytes);
    if (text == NULL)
        return ERR_NO_MEMORY;
    free(job->owned[4]);
    job->owned[4] = text;
    job->inputs = (struct text){text, bytes};
    return ERR_OK;
}

void store_inputs_most(struct store *store, size_t bytes)
{
    store->inputs_most = bytes;
}
