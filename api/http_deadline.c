#include "http_private.h"

#include <stdlib.h>

static bool earlier(const struct http_loop *loop, size_t a, size_t b)
{
    return loop->deadlines[a]->deadline_ns < loop->deadlines[b]->deadline_ns;
}

static void place(struct http_loop *loop, size_t at, struct request *request)
{
    loop->deadlines[at] = request;
    request->deadline_at = at;
}

static void swap(struct http_loop *loop, size_t a, size_t b)
{
    struct request *kept = loop->deadlines[a];
    place(loop, a, loop->deadlines[b]);
    place(loop, b, kept);
}

static void rise(struct http_loop *loop, size_t at)
{
    for (; at > 1 && earlier(loop, at, at / 2); at /= 2)
        swap(loop, at, at / 2);
}

static void sink(struct http_loop *loop, size_t at)
{
    for (size_t child; (child = 2 * at) <= loop->deadline_count; at = child) {
        if (child < loop->deadline_count && earlier(loop, child + 1, child))
            child++;
        if (!earlier(loop, child, at))
            return;
        swap(loop, at, child);
    }
}

void http_expire_at(struct request *request, int64_t deadline_ns)
{
    struct http_loop *loop = request->loop;
    if (loop->deadline_count + 1 >= loop->deadline_room) {
        size_t room = loop->deadline_room > 0 ? loop->deadline_room * 2 : 64;
        struct request **grown = reallocarray(loop->deadlines, room, sizeof *grown);
        if (grown == NULL) {
            request->expired = true; /* no waiting without memory: it is answered with what there is */
            return;
        }
        loop->deadlines = grown;
        loop->deadline_room = room;
    }
    http_deadline_remove(request);
    request->deadline_ns = deadline_ns;
    place(loop, ++loop->deadline_count, request);
    rise(loop, loop->deadline_count);
}

void http_deadline_remove(struct request *request)
{
    struct http_loop *loop = request->loop;
    size_t at = request->deadline_at;
    if (at == 0)
        return;
    request->deadline_at = 0;
    struct request *last = loop->deadlines[loop->deadline_count--];
    if (last == request)
        return;
    place(loop, at, last);
    rise(loop, at);
    sink(loop, last->deadline_at);
}

int64_t http_deadline_next(const struct http_loop *loop)
{
    return loop->deadline_count > 0 ? loop->deadlines[1]->deadline_ns : INT64_MAX;
}

struct request *http_deadline_take(struct http_loop *loop)
{
    if (http_deadline_next(loop) > loop->now_ns)
        return NULL;
    struct request *request = loop->deadlines[1];
    http_deadline_remove(request);
    return request;
}
