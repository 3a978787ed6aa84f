/* /v1/jobs/{id} and what lies below it. */
#include "await.h"
#include "codec.h"
#include "handlers.h"
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------
 * document */

static enum answer answer_job(struct request *request)
{
    struct buf *out = reply_json(request, 200);
    codec_job(out, request->job, true);
    PUT(out, "\n");
    handler_etag(request);
    return ANSWERED;
}

enum answer get_job(struct request *request)
{
    struct id id;
    return handler_id(request, &id) && handler_wait(request, 0) ? await_job(request, id, answer_job)
                                                                : ANSWERED;
}

/* --------------------------------------------------------------------------------------------------------
 * result */

static enum answer answer_result(struct request *request)
{
    const struct job *job = request->job;
    char id[ID_TEXT_BYTES];
    id_format(job->spec.id, id);
    if (!job_is_terminal(job->state)) {
        reply_header(request, "Retry-After", "1");
        return problem_answer(request, ERR_NOT_FINISHED, NULL, "the job %s is %s, so it has no result yet",
                              id, job_state_text(job->state));
    }
    enum answer answer = handler_result(request, job);
    if (request->reply.status == 200)
        handler_etag(request);
    return answer;
}

enum answer get_job_result(struct request *request)
{
    struct id id;
    return handler_id(request, &id) && handler_wait(request, 0) ? await_job(request, id, answer_result)
                                                                : ANSWERED;
}

/* ------------------------------------------------------------------------------------------------------
 * attempts */

enum answer list_attempts(struct request *request)
{
    struct id id;
    struct attempt *attempts = NULL;
    size_t count = 0;
    if (!handler_id(request, &id))
        return ANSWERED;
    enum err err = await_read(request, id);
    if (err != ERR_OK)
        return handler_job_error(request, id, err);
    err = store_attempts(request_reader(request), id, &attempts, &count);
    if (err != ERR_OK && err != ERR_UNKNOWN_JOB) /* unknown: it is in shared memory only */
        return problem_plain(request, err);
    struct buf *out = reply_json(request, 200);
    PUT(out, "{\"items\":[");
    for (size_t i = 0; i < count; i++) {
        buf_put(out, i > 0 ? "," : "");
        codec_attempt(out, &attempts[i]);
    }
    const struct attempt *last = &request->job->attempt;
    if (last->number > 0 &&
        (count == 0 || last->number > attempts[count - 1].number)) { /* the one that runs */
        buf_put(out, count > 0 ? "," : "");
        codec_attempt(out, last);
    }
    PUT(out, "]}\n");
    free(attempts);
    return ANSWERED;
}

/* -----------------------------------------------------------------------------------------------------------
 * log */

/* Where the last `lines` lines of the file begin. */
static int64_t tail_begins(int fd, int64_t bytes, int64_t lines)
{
    enum { PIECE = 16384 };
    char piece[PIECE];
    int64_t at = bytes;
    while (at > 0) {
        size_t want = at < PIECE ? (size_t)at : PIECE;
        at -= (int64_t)want;
        ssize_t got = pread(fd, piece, want, at);
        if (got != (ssize_t)want)
            return 0;
        for (size_t i = want; i-- > 0;) {
            bool last_byte = at + (int64_t)i == bytes - 1; /* the line break that ends the last line */
            if (piece[i] == '\n' && !last_byte && --lines == 0)
                return at + (int64_t)i + 1;
        }
    }
    return 0;
}

static enum answer answer_file(struct request *request, const char *path, int64_t lines)
{
    struct reply *reply = &request->reply;
    struct stat status;
    reply->status = 200;
    reply->content_type = "text/plain; charset=utf-8";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) /* it never wrote anything */
        return ANSWERED;
    if (fd < 0 || fstat(fd, &status) != 0) {
        log_errno(fd < 0 ? "open" : "fstat", path);
        if (fd >= 0)
            close(fd);
        return problem_plain(request, ERR_SYSTEM);
    }
    int64_t begin = lines > 0 ? tail_begins(fd, status.st_size, lines) : 0;
    if (begin >= status.st_size) {
        close(fd);
        return ANSWERED;
    }
    reply->file = fd;
    reply->file_at = begin;
    reply->file_bytes = status.st_size - begin;
    return ANSWERED;
}

enum answer get_job_log(struct request *request)
{
    enum { LINES_MAX = 100000 };
    struct id id;
    int64_t number, lines;
    char path[PATH_BYTES];
    if (!handler_id(request, &id) || !handler_int(request, "attempt", 1, UINT32_MAX, 0, &number) ||
        !handler_int(request, "tail", 1, LINES_MAX, 0, &lines))
        return ANSWERED;
    enum err err = await_read(request, id);
    if (err != ERR_OK)
        return handler_job_error(request, id, err);
    const struct job *job = request->job;
    int64_t last = job->spec.attempt > job->attempt.number ? job->spec.attempt : job->attempt.number;
    if (number > last)
        return problem_answer(request, ERR_NO_SUCH_ATTEMPT, NULL,
                              "the job has had %" PRId64 " attempts, not %" PRId64, last, number);
    err = log_path(front_config(request->front)->state_dir, id, (unsigned)(number > 0 ? number : last), path);
    return err != ERR_OK ? problem_plain(request, ERR_SYSTEM) : answer_file(request, path, lines);
}
