#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_BYTES = 256 }; /* as much of a first line as the kernel reads */

__attribute__((format(printf, 2, 3))) static bool refuse(char *reason, const char *format, ...)
{
    char text[2 * TASK_PATH_BYTES + 256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    text_copy(reason, TASK_REASON_BYTES, text, strlen(text));
    return false;
}

static bool is_executable(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
           faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

bool program_find(const char *name, const char *search, char path[TASK_PATH_BYTES])
{
    for (const char *at = search; *at != '\0';) {
        size_t bytes = strcspn(at, ":");
        int length = snprintf(path, TASK_PATH_BYTES, "%.*s/%s", (int)bytes, at, name);
        if (bytes > 0 && length < TASK_PATH_BYTES && is_executable(path))
            return true;
        at += bytes + (at[bytes] == ':');
    }
    return false;
}

/* Cuts the next blank-separated word out of a line; NULL at its end. */
static char *next_word(char **line)
{
    char *word = *line + strspn(*line, " \t");
    size_t bytes = strcspn(word, " \t");
    *line = word + bytes + (word[bytes] != '\0');
    word[bytes] = '\0';
    return bytes > 0 ? word : NULL;
}

/* "#!/usr/bin/env [-S] NAME …": the program that env will look for; NULL if it cannot be told from here. */
static const char *env_program(char *line)
{
    const char *word = next_word(&line);
    if (word != NULL && strcmp(word, "-S") == 0)
        word = next_word(&line);
    else if (word != NULL && strncmp(word, "-S", 2) == 0)
        word += 2;
    return word != NULL && word[0] != '-' && strpbrk(word, "=\\\"'$/") == NULL ? word : NULL;
}

static bool check_interpreter(const char *path, const char *search, char *line, char *reason)
{
    const char *interpreter = next_word(&line);
    if (interpreter == NULL)
        return refuse(reason, "%s: its #! line names no interpreter", path);
    if (!is_executable(interpreter)) {
        if (strchr(interpreter, '/') == NULL)
            return refuse(reason, "%s: its #! line needs a full path: #!/usr/bin/env %s", path, interpreter);
        return refuse(reason, "%s: its interpreter %s does not exist or is not executable", path,
                      interpreter);
    }
    const char *base = strrchr(interpreter, '/');
    const char *program = base != NULL && strcmp(base, "/env") == 0 ? env_program(line) : NULL;
    char found[TASK_PATH_BYTES];
    if (program != NULL && !program_find(program, search, found))
        return refuse(reason, "%s: its interpreter %s is not installed (not found in PATH)", path, program);
    return true;
}

static bool check_head(const char *path, const char *search, char *head, size_t bytes, char *reason)
{
    if (bytes == 0)
        return refuse(reason, "%s is empty", path);
    if (bytes >= 2 && memcmp(head, "#!", 2) == 0) {
        head[bytes] = '\0';
        size_t length = strcspn(head, "\n");
        if (length > 0 && head[length - 1] == '\r')
            return refuse(reason, "%s: its lines end in CR LF: save it with Unix line ends", path);
        head[length] = '\0';
        return check_interpreter(path, search, head + 2, reason);
    }
    /* Text without #! is what a shell would run, and the kernel will not. Anything else is left to the
     * kernel. */
    if (memchr(head, '\0', bytes) == NULL && memcmp(head, "\177ELF", bytes < 4 ? bytes : 4) != 0)
        return refuse(reason, "%s has no #! line and is no program: begin it with #!/bin/sh, for example",
                      path);
    return true;
}

bool program_check(const char *path, const char *search, char reason[TASK_REASON_BYTES])
{
    struct stat status;
    if (stat(path, &status) != 0)
        return refuse(reason, errno == ENOENT ? "%s does not exist" : "%s cannot be reached: %s", path,
                      strerror(errno));
    if (!S_ISREG(status.st_mode))
        return refuse(reason, "%s is not a regular file", path);
    if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) != 0)
        return refuse(reason, "%s is not executable: chmod +x %s", path, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true; /* executable, not readable: the kernel may still run it */
    char head[HEAD_BYTES + 1];
    ssize_t bytes = read(fd, head, HEAD_BYTES);
    close(fd);
    return bytes < 0 || check_head(path, search, head, (size_t)bytes, reason);
}
