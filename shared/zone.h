/* Time zones of the IANA database: from moments (UTC) to what the clocks on the walls show, and back.
 *
 * Callable from any thread; a handle never changes once it is open. zone_open gives a handle that the caller
 * owns until zone_close. The database is that of the package tzdata (or of the folder that TZDIR names). It
 * is read anew for a zone when no handle of that zone is open, so a long-running process that closes its
 * handles now and then takes up an update of it.
 *
 * A moment is seconds since 1970 in UTC. A local time is the date and time on the wall, counted in the same
 * way: seconds since 1970-01-01T00:00:00 on that wall. Clocks are shifted, so a local time can
 *
 *     not exist     the clocks jumped over it (spring; 2011-12-30 in Pacific/Apia)
 *     exist twice   the clocks were put back (autumn)
 *
 * and the way back needs a rule. Here, the clocks have *reached* a local time as soon as they have shown it
 * or a later one:
 *
 *     zone_reach_s(zone, local)       when they reached it: the first of two, or the first moment after a
 * jump zone_reached_local_s(zone, at)  the latest one that they have reached by a moment
 *
 * Both only ever rise. Whoever goes through local times and takes zone_reach_s of each thus does what is to
 * be done at a local time once, and in order; whoever wants both passes of a repeated hour goes from shift to
 * shift by zone_shift_s.
 *
 * Errors: ERR_NOT_FOUND if there is no such zone. Without memory GLib aborts. From 2038 on GLib (2.74) gets
 * Europe/Dublin wrong, whose rule calls winter time the saving one; it is right in all other zones.
 */
#ifndef FORKPOOL_ZONE_H
#define FORKPOOL_ZONE_H

#include "err.h"

#include <stdint.h>

enum { ZONE_NAME_BYTES = 64 }; /* room for the longest name and its NUL */

struct zone;

/* Opens a zone by its name in the database ("Europe/Berlin"), case and all. "UTC" needs no database. */
enum err zone_open(const char *name, struct zone **zone) MUST_USE;
void zone_close(struct zone *zone);

/* The name that was probably meant by one that zone_open refused; NULL if none is near. */
const char *zone_nearest(const char *wrong, char nearest[ZONE_NAME_BYTES]);

/* Seconds east of UTC at a moment: local time is utc_s plus this. */
int32_t zone_offset_s(const struct zone *zone, int64_t utc_s);

/* The first moment in from_s < moment <= until_s at which the clocks may have been shifted; until_s + 1 if
 * the offset is the same all the time. */
int64_t zone_shift_s(const struct zone *zone, int64_t from_s, int64_t until_s);

int64_t zone_reach_s(const struct zone *zone, int64_t local_s);
int64_t zone_reached_local_s(const struct zone *zone, int64_t utc_s);

#endif
