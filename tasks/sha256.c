/* sha256: the checksum of a file: {"path": "/etc/hosts"} gives {"sha256": "…", "bytes": N}. */
#include "forkpool.h"

#include "args.h"

#include <errno.h>
#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

enum { CHUNK_BYTES = 262144 };

__attribute__((format(printf, 3, 4))) static int fail(struct fp_job *job, const char *code,
                                                      const char *format, ...)
{
    char message[512];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    return fp_fail(job, code, message);
}

static int fail_open(struct fp_job *job, const char *path)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        return fail(job, "no_such_file", "there is no file %s", path);
    case EACCES:
    case EPERM:
        return fail(job, "not_readable", "%s may not be read by this user", path);
    default: /* too many open files, a share that is away: it may be better next time */
        fail(job, "open_failed", "%s cannot be opened: %s", path, strerror(errno));
        return FP_RETRY;
    }
}

static int hash_file(struct fp_job *job, FILE *file, double size)
{
    static unsigned char chunk[CHUNK_BYTES];
    struct sha256_ctx context;
    double done = 0;
    size_t bytes;
    sha256_init(&context);
    while ((bytes = fread(chunk, 1, sizeof chunk, file)) > 0) {
        if (fp_cancelled(job))
            return fp_error(job, "cancelled", "asked to stop while it read");
        sha256_update(&context, bytes, chunk);
        done += (double)bytes;
        fp_progress(job, done < size ? done / size : 1, NULL);
    }
    if (ferror(file))
        return fp_error(job, "read_failed", strerror(errno));

    uint8_t digest[SHA256_DIGEST_SIZE];
    char result[128] = "{\"sha256\":\"";
    int at = 11;
    sha256_digest(&context, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        at += snprintf(result + at, sizeof result - (size_t)at, "%02x", digest[i]);
    at += snprintf(result + at, sizeof result - (size_t)at, "\",\"bytes\":%.0f}", done);
    return fp_result(job, result, (size_t)at);
}

static int run(struct fp_job *job)
{
    char path[4096];
    struct stat status;
    if (args_string(job->args, job->args_bytes, "path", path, sizeof path) != ARGS_OK)
        return fail(job, "invalid_arguments", "path must be the path of a file: {\"path\": \"/etc/hosts\"}");
    if (stat(path, &status) != 0)
        return fail_open(job, path);
    if (!S_ISREG(status.st_mode)) /* a pipe or a terminal could block for ever */
        return fail(job, "not_a_file", "%s is not a regular file", path);
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return fail_open(job, path);
    int answer = hash_file(job, file, (double)status.st_size);
    fclose(file);
    return answer;
}

FP_PLUGIN({.name = "sha256",
           .description = "the checksum of a file: {\"path\": \"/etc/hosts\"}",
           .run = run});
