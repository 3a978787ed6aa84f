#include "log.h"

#include "buf.h"
#include "clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *code;
    enum log_level level;
    const char *sentence;
} EVENTS[EVENT_COUNT] = {
#define V(name, code, level, sentence) [EVENT_##name] = {code, LOG_##level, sentence},
    LOG_EVENTS(V)
#undef V
};

static const char *const LEVELS[LOG_LEVEL_COUNT] = {"debug", "info", "warn", "error"};

static const char *process_name = "forkpool";
static _Atomic int threshold = LOG_INFO;
static bool as_json;

void log_init(const char *process, enum log_level level, enum log_format format)
{
    process_name = process;
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
    as_json = format == LOG_JSON_LINES || (format == LOG_AUTO && !isatty(STDERR_FILENO));
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

static void put_value(struct buf *line, const struct log_field *field)
{
    char text[ID_TEXT_BYTES];
    switch (field->kind) {
    case FIELD_INT:
        buf_put_int(line, field->number);
        break;
    case FIELD_ID:
        id_format(field->id, text);
        buf_put_json(line, text, strlen(text));
        break;
    case FIELD_TEXT:
        buf_put_json(line, field->text ? field->text : "", field->text ? strlen(field->text) : 0);
        break;
    }
}

static void put_json_line(struct buf *line, enum log_event event, const struct log_field *fields)
{
    buf_put(line, "{\"time\":");
    buf_put_time(line, clock_real_ms());
    buf_printf(line, ",\"level\":\"%s\",\"event\":\"%s\",\"process\":\"%s\",\"pid\":%d,\"message\":\"%s\"",
               LEVELS[EVENTS[event].level], EVENTS[event].code, process_name, (int)getpid(),
               EVENTS[event].sentence);
    for (; fields->name != NULL; fields++) {
        buf_printf(line, ",\"%s\":", fields->name);
        put_value(line, fields);
    }
    buf_put(line, "}\n");
}

static void put_text_line(struct buf *line, enum log_event event, const struct log_field *fields)
{
    char time[CLOCK_TEXT_BYTES];
    clock_format(clock_real_ms(), time);
    buf_printf(line, "%.12s %-5s %-12s %s: %s", time + 11, LEVELS[EVENTS[event].level], process_name,
               EVENTS[event].code, EVENTS[event].sentence);
    for (; fields->name != NULL; fields++) {
        buf_printf(line, " %s=", fields->name);
        put_value(line, fields);
    }
    buf_put(line, "\n");
}

void log_write(enum log_event event, const struct log_field *fields)
{
    if ((int)EVENTS[event].level < atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    int kept = errno;
    BUF_AUTO line = {0};
    if (as_json)
        put_json_line(&line, event, fields);
    else
        put_text_line(&line, event, fields);
    if (!line.failed && write(STDERR_FILENO, line.data, line.bytes) < 0) {
        /* Standard error is gone: there is nowhere left to say so. */
    }
    errno = kept;
}

void log_errno(const char *call, const char *object)
{
    int number = errno;
    char text[128] = "";
    LOG(SYSTEM_ERROR, LOG_TEXT("call", call), LOG_TEXT("object", object), LOG_INT("errno", number),
        LOG_TEXT("error", strerror_r(number, text, sizeof text)));
    errno = number;
}
