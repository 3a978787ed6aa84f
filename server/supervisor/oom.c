#include "oom.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char counter_path[640]; /* "" until found, "-" if there is none */

static bool take_path(const char *root, const char *cgroup, const char *file)
{
    /* In a container /proc may name the host's path while the container's own group is mounted at the root.
     */
    const char *const places[] = {cgroup, ""};
    for (int i = 0; i < 2; i++) {
        snprintf(counter_path, sizeof counter_path, "%s%s/%s", root, places[i], file);
        if (access(counter_path, R_OK) == 0)
            return true;
    }
    return false;
}

/* Lines of /proc/self/cgroup: "0::/path" (version 2), "9:memory:/path" (version 1). */
static void find_path(void)
{
    char line[512];
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        const char *memory = strstr(line, ":memory:");
        if (memory != NULL)
            found = take_path("/sys/fs/cgroup/memory", memory + strlen(":memory:"), "memory.oom_control");
        else if (strncmp(line, "0::", 3) == 0)
            found = take_path("/sys/fs/cgroup", line + 3, "memory.events");
    }
    if (file != NULL)
        fclose(file);
    if (!found)
        snprintf(counter_path, sizeof counter_path, "-");
}

uint64_t oom_kills(void)
{
    char text[512];
    if (counter_path[0] == '\0')
        find_path();
    int fd = counter_path[0] == '-' ? -1 : open(counter_path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (bytes <= 0)
        return 0;
    text[bytes] = '\0';
    const char *at = strstr(text, "oom_kill ");
    return at == NULL ? 0 : strtoull(at + strlen("oom_kill "), NULL, 10);
}
