/* Prints when cron expressions fire, for tests/system/test_cron.py.
 *
 *     cron_next COUNT < lines of EXPRESSION<TAB>ZONE<TAB>AFTER_MS
 *
 * Each line is answered by one: up to COUNT times in milliseconds, separated by blanks, or "refused: " and
 * why.
 */
#include "cron.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void answer(const char *expression, const char *zone_name, int64_t after_ms, int count)
{
    BUF_AUTO why = {0};
    struct cron cron;
    struct zone *zone = NULL;
    if (cron_parse(expression, &cron, &why)) {
        printf("refused: %.*s\n", (int)why.bytes, why.data);
        return;
    }
    if (zone_open(zone_name, &zone)) {
        printf("refused: there is no zone \"%s\"\n", zone_name);
        return;
    }
    for (int i = 0; i < count && cron_next(&cron, zone, after_ms, &after_ms); i++)
        printf("%s%" PRId64, i ? " " : "", after_ms);
    putchar('\n');
    zone_close(zone);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1;
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        char *rest = line;
        const char *expression = strsep(&rest, "\t"), *zone = strsep(&rest, "\t");
        answer(expression, zone ? zone : "", rest ? strtoll(rest, NULL, 10) : 0, count);
    }
    return EXIT_SUCCESS;
}
