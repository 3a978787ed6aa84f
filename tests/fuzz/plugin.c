/* What a plugin may call, in any order, with anything: results, errors, logs, progress, and what it returns.
 *
 * The input is a series of calls: which one (1 byte), the length (2 bytes), the bytes. The first byte is what
 * run returns.
 */
#include "kind_plugin.c" /* for a plugin that comes from no file */

#include "codec.h"
#include "fuzz.h"

#include "log.h"

static struct input calls;

static int interpret(struct fp_job *job)
{
    int answer = input_byte(&calls) % 5 - 1;
    while (calls.bytes > 0) {
        uint8_t which = input_byte(&calls);
        size_t length = (size_t)input_byte(&calls) << 8 | input_byte(&calls);
        struct input part = input_take(&calls, length);
        char *text = input_text(part), *end = memchr(text, '|', part.bytes);
        const char *second = end != NULL ? end + 1 : NULL;
        if (end != NULL && which % 6 == 1)
            *end = '\0';
        switch (which % 6) {
        case 0:
            answer = fp_result(job, which & 64 ? NULL : text, which & 128 ? (size_t)-1 : part.bytes);
            break;
        case 1:
            answer = fp_error(job, which & 64 ? NULL : text, second);
            break;
        case 2:
            fp_log(job, text, part.bytes);
            break;
        case 3:
            fp_progress(job, strtod(text, NULL), which & 64 ? NULL : text);
            break;
        case 4:
            answer = fp_fail(job, text, second);
            break;
        default:
            answer = fp_cancelled(job);
        }
        free(text);
    }
    return answer;
}

static const struct fp_task TASKS[] = {{.name = "fuzz", .run = interpret}};
static const struct fp_plugin PLUGIN = {FP_ABI, 1, TASKS};

static void load_without_file(struct task *task)
{
    strcpy(task->name, "fuzz");
    strcpy(task->path, "no file");
    loaded = calloc(1, sizeof *loaded);
    HOLDS(loaded != NULL, "memory");
    strcpy(loaded[0].path, task->path);
    loaded[0].plugin = &PLUGIN;
    loaded_count = 1;
    log_set_level(LOG_LEVEL_COUNT);
}

static bool ends(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

static void check_attempt(struct attempt *attempt, const struct slot *slot)
{
    struct buf out = {0};
    HOLDS(attempt->outcome == OUTCOME_SUCCESS || attempt->outcome == OUTCOME_ERROR, "no outcome");
    HOLDS((attempt->outcome == OUTCOME_ERROR) == (attempt->error_code[0] != '\0'), "outcome and code differ");
    HOLDS(ends(attempt->error_code, ERROR_CODE_BYTES) && ends(attempt->error_message, MESSAGE_BYTES) &&
              ends(slot->attempt.progress_message, MESSAGE_BYTES),
          "a text has no end");
    HOLDS(slot->attempt.progress == -1 || (slot->attempt.progress >= 0 && slot->attempt.progress <= 1),
          "progress %g", slot->attempt.progress);
    attempt->progress = slot->attempt.progress;
    attempt->progress_ms = slot->attempt.progress_ms;
    memcpy(attempt->progress_message, slot->attempt.progress_message, MESSAGE_BYTES);
    codec_attempt(&out, attempt);
    holds_json("an attempt", out.data, out.bytes);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct board board;
    static struct slot slot;
    static struct task task;
    static struct job_spec spec;
    static _Atomic int32_t box_group;
    struct attempt attempt = attempt_blank();
    struct run run = {.task = &task,
                      .spec = &spec,
                      .attempt_number = 1,
                      .args = {"{}", 2},
                      .log_path = "/dev/null",
                      .max_result = 256,
                      .max_log = 1024,
                      .board = &board,
                      .box_group = &box_group,
                      .slot = &slot,
                      .attempt = &attempt};
    if (loaded == NULL)
        load_without_file(&task);
    slot.attempt = attempt_blank();
    calls = (struct input){data, bytes};
    attempt.number = 1;
    board_begin(&board, 1, INT64_MAX, 0);
    kind_plugin_run(&run);
    board_idle(&board);
    HOLDS(run.stopped == STOP_NONE, "it was stopped");
    if (attempt.outcome == OUTCOME_SUCCESS) {
        HOLDS(run.result.bytes > 0 && (int64_t)run.result.bytes <= run.max_result, "%zu bytes",
              run.result.bytes);
        HOLDS(json_scan(run.result.at, run.result.bytes, NULL, NULL) == ERR_OK, "no JSON: %.*s",
              (int)run.result.bytes, run.result.at);
    } else {
        HOLDS(run.result.bytes == 0, "an error with a result");
    }
    check_attempt(&attempt, &slot);
    return 0;
}
