/* Job ids: UUID version 7 (RFC 9562), 16 bytes.
 *
 * The first 48 bits are milliseconds, the next 12 (rand_a) a counter, so ids made by one process grow
 * strictly; the remaining 62 bits are random (getrandom, fetched in batches). The store keys rows by the 60
 * bits of time and counter and checks the random bits. libuuid parses and prints. Thread-safe. Ids never
 * decide order: seq does.
 */
#ifndef FORKPOOL_IDS_H
#define FORKPOOL_IDS_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ID_TEXT_BYTES = 37 };

struct id {
    uint8_t bytes[16];
};

/* A new id, greater than every id made or raised past before in this process. */
struct id id_new(void);

/* No id made from now on will have a key at or below this one (after a start: the greatest key in the store).
 */
void id_raise(int64_t key);

/* Lower-case text with NUL. */
void id_format(struct id id, char text[ID_TEXT_BYTES]);

/* ERR_UNKNOWN_JOB unless the text is exactly a UUID of version 7 in its 36-character form (upper case is
 * fine): what parses is what id_join(id_key, id_random) gives back, so no other text can name the same job.
 */
enum err id_parse(const char *text, struct id *id) MUST_USE;

/* The 60 bits of time and counter, and the 62 random bits; both ≥ 0. id_join is their inverse. */
int64_t id_key(struct id id);
int64_t id_random(struct id id);
struct id id_join(int64_t key, int64_t random);

bool id_equal(struct id a, struct id b);
bool id_is_none(struct id id); /* all zero, which no id is */

/* A 16-byte fingerprint of any bytes (a UUID version 5: SHA-1, 122 bits), to compare requests. */
struct id id_fingerprint(const void *data, size_t bytes);

#endif
