#include "bulk_lines.h"

#include <string.h>

static void append(struct bulk_lines *lines, const char *data, size_t bytes)
{
    lines->too_long = lines->too_long || bytes > lines->most - lines->line.bytes;
    if (lines->too_long)
        lines->line.bytes = 0;
    else
        buf_add(&lines->line, data, bytes);
}

static bool is_blank(const struct buf *line)
{
    for (size_t i = 0; i < line->bytes; i++) {
        if (line->data[i] != ' ' && line->data[i] != '\t' && line->data[i] != '\r')
            return false;
    }
    return true;
}

static void end_line(struct bulk_lines *lines)
{
    struct buf *line = &lines->line;
    lines->number++;
    if (line->bytes > 0 && line->data[line->bytes - 1] == '\r')
        line->bytes--;
    if (lines->too_long || line->failed || !is_blank(line))
        lines->visit(lines->context, lines->number, line, lines->too_long);
    if (line->failed)
        buf_fini(line);
    line->bytes = 0;
    lines->too_long = false;
}

void bulk_lines_feed(struct bulk_lines *lines, const char *data, size_t bytes)
{
    for (const char *end = data + bytes, *newline; data < end; data = newline + 1) {
        newline = memchr(data, '\n', (size_t)(end - data));
        append(lines, data, (size_t)((newline != NULL ? newline : end) - data));
        if (newline == NULL)
            return;
        end_line(lines);
    }
}

void bulk_lines_end(struct bulk_lines *lines)
{
    if (lines->line.bytes > 0 || lines->line.failed || lines->too_long)
        end_line(lines);
}

void bulk_lines_fini(struct bulk_lines *lines)
{
    buf_fini(&lines->line);
}
