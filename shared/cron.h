/* Cron expressions: when they fire next.
 *
 *     minute hour day-of-month month day-of-week          at second 0
 *     second minute hour day-of-month month day-of-week
 *
 * A field is a list by commas of
 *
 *     *   a   a-b     all, one, a range
 *     a-b/n   a/n     every n-th of a range, or from a to the end; and * with /n behind it
 *     JAN   SUN       names, in any case, for numbers; 0 and 7 are Sunday
 *     ?               in the two day fields, alone: the same as *
 *     L               day of the month: the last one
 *     w#k, wL         day of the week: the k-th w of the month (k from 1 to 5), the last one
 *
 * and @yearly (@annually), @monthly, @weekly, @daily (@midnight) and @hourly stand for such expressions. If
 * both day fields are restricted, that is neither begins with * nor is ?, a day matches that matches either
 * of them; otherwise it must match both.
 *
 * Clocks are shifted (zone.h), and then:
 *
 * - An expression whose hour field begins with * follows real time: it fires at each matching time that the
 *   clocks show, in both passes of a repeated hour; a time that is jumped over is left out.
 * - Any other fires once for each matching time of a day: for all the times that were jumped over together,
 *   at the first moment after the jump; and in the first pass only of a repeated hour.
 *
 * Callable from any thread. struct cron is a plain value: copy it, keep it, owns nothing.
 *
 *     int64_t at = clock_real_ms();
 *     while (cron_next(&cron, zone, at, &at))
 *         …
 *
 * Errors: ERR_INVALID_FIELD, with a fragment of a sentence that says what is wrong and what would be right.
 */
#ifndef FORKPOOL_CRON_H
#define FORKPOOL_CRON_H

#include "buf.h"
#include "err.h"
#include "zone.h"

#include <stdbool.h>
#include <stdint.h>

enum { CRON_TEXT_BYTES = 256, CRON_HORIZON_YEARS = 12 };

/* Bit n stands for the number n of a field. */
struct cron {
    uint64_t seconds, minutes;
    uint32_t hours, days;
    uint16_t months;
    uint8_t weekdays;        /* every such day of the week; Sunday is bit 0 */
    uint8_t nth_weekdays[5]; /* [k - 1]: the k-th of the month */
    uint8_t last_weekdays;   /* the last of the month */
    bool last_day;           /* the last day of the month */
    bool either_day;         /* a day may match by its date or by its weekday, else it must by both */
    bool real_time;          /* the hour field begins with * */
};

/* Reads an expression shorter than CRON_TEXT_BYTES. One that can never fire is refused, too. */
enum err cron_parse(const char *text, struct cron *cron, struct buf *why) MUST_USE;

/* The first firing after after_ms (milliseconds since 1970 UTC; a firing is on a whole second); false if
 * there is none within CRON_HORIZON_YEARS. */
bool cron_next(const struct cron *cron, const struct zone *zone, int64_t after_ms, int64_t *next_ms);

#endif
