#include "rss.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int64_t rss_bytes(int pid)
{
    char path[64], text[128], *at;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t bytes = read(fd, text, sizeof text - 1);
    close(fd);
    if (bytes <= 0)
        return -1;
    text[bytes] = '\0';
    strtoll(text, &at, 10); /* the first is the size of the address space */
    return strtoll(at, NULL, 10) * sysconf(_SC_PAGESIZE);
}
