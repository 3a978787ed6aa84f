/* Newline-delimited JSON as it comes in: pieces in, whole lines out.
 *
 * Pure; one thread at a time. A line ends with LF or CR LF, the last one with the end of the body too. Held
 * is one line that has not ended yet. Lines have numbers from 1, also blank ones, which are not handed out.
 *
 *     struct bulk_lines lines = {.most = …, .visit = …, .context = …};
 *     for each piece: bulk_lines_feed(&lines, data, bytes);
 *     bulk_lines_end(&lines);
 */
#ifndef FORKPOOL_BULK_LINES_H
#define FORKPOOL_BULK_LINES_H

#include "buf.h"

#include <stdbool.h>
#include <stddef.h>

/* A line without its end. Its bytes may be taken (then *line is left empty); line->failed: there was no
 * memory for it. */
typedef void bulk_line_fn(void *context, size_t number, struct buf *line, bool too_long);

struct bulk_lines {
    size_t most; /* bytes of a line */
    bulk_line_fn *visit;
    void *context;
    struct buf line; /* owned: what there is of the line that has not ended */
    size_t number;   /* of lines that have ended */
    bool too_long;   /* the line has more bytes than `most`; they are not kept */
};

void bulk_lines_feed(struct bulk_lines *lines, const char *data, size_t bytes);
/* The end of the body: the last line, if it was not ended. */
void bulk_lines_end(struct bulk_lines *lines);
void bulk_lines_fini(struct bulk_lines *lines);

#endif
