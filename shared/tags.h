/* The tags of a job, in the one spelling in which they are kept: a JSON array of strings without white space,
 * each tag once, in the order in which they were given; of a job without tags there is no text at all. A tag
 * has 1 to 64 characters, none of them a control character, so that only \" and \\ are ever escaped.
 *
 * Callable from anywhere. The text may lie in shared memory: nothing is read beyond its end, whatever it
 * holds.
 *
 *     char tag[TAG_BYTES];
 *     for (size_t at = 0; tags_next(job->tags, &at, tag);) …
 */
#ifndef FORKPOOL_TAGS_H
#define FORKPOOL_TAGS_H

#include "buf.h"
#include "job.h"

enum { TAGS_MAX = 16, TAG_CHARACTERS = 64, TAG_BYTES = 4 * TAG_CHARACTERS + 1 };

bool tag_ok(const char *tag);

/* Adds one to the array in `out`, which grows from empty; nothing happens if it is there. The caller counts.
 * True if it was added. */
bool tags_add(struct buf *out, const char *tag);

/* The tag at *at (0 at the start), which moves on; false at the end, or where the text is not in that
 * spelling. */
bool tags_next(struct text tags, size_t *at, char tag[TAG_BYTES]);

bool tags_hold(struct text tags, const char *tag);

#endif
