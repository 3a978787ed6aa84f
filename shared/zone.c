#include "zone.h"

#include "nearest.h"

#include <glib.h>

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than the sum of any two offsets: that far from a moment, local times lie wholly before or after it. */
static const int64_t APART_S = 48 * 3600;

/* A struct zone is a GTimeZone under a name of ours. GLib only reads from it, but does not say so by const.
 */
static GTimeZone *glib(const struct zone *zone)
{
    return (GTimeZone *)(uintptr_t)zone;
}

static bool is_upper(char byte)
{
    return byte >= 'A' && byte <= 'Z';
}

/* Each part of a zone's name begins with a capital. This keeps out what the folder holds besides zones
 * (leapseconds, posixrules, right/), the machine's own zone (localtime), and every way out of the folder. */
static bool is_name(const char *name)
{
    if (strlen(name) >= ZONE_NAME_BYTES)
        return false;
    bool begins = true;
    for (const char *at = name; *at; at++) {
        if (begins ? !is_upper(*at) : *at != '/' && !g_ascii_isalnum(*at) && !strchr("_+-", *at))
            return false;
        begins = *at == '/';
    }
    return !begins;
}

enum err zone_open(const char *name, struct zone **zone)
{
    if (!is_name(name))
        return ERR_NOT_FOUND;
    /* By the colon GLib looks for a file only: it would take "GMT+5" and "EST5EDT" for rules. */
    char identifier[ZONE_NAME_BYTES + 1];
    snprintf(identifier, sizeof identifier, ":%s", name);
    GTimeZone *found = g_time_zone_new_identifier(strcmp(name, "UTC") == 0 ? name : identifier);
    if (!found)
        return ERR_NOT_FOUND;
    *zone = (struct zone *)found;
    return ERR_OK;
}

void zone_close(struct zone *zone)
{
    if (zone)
        g_time_zone_unref(glib(zone));
}

/* ── from moments to local times, and back ── */

static int interval_of(const struct zone *zone, int64_t utc_s)
{
    return g_time_zone_find_interval(glib(zone), G_TIME_TYPE_UNIVERSAL, utc_s);
}

int32_t zone_offset_s(const struct zone *zone, int64_t utc_s)
{
    return g_time_zone_get_offset(glib(zone), interval_of(zone, utc_s));
}

/* GLib does not tell where an interval ends, but numbers them. */
int64_t zone_shift_s(const struct zone *zone, int64_t from_s, int64_t until_s)
{
    int interval = interval_of(zone, from_s);
    if (from_s >= until_s || interval_of(zone, until_s) == interval)
        return until_s + 1;
    int64_t before = from_s, after = until_s;
    while (after - before > 1) {
        int64_t middle = before + (after - before) / 2;
        if (interval_of(zone, middle) == interval)
            before = middle;
        else
            after = middle;
    }
    return after;
}

int64_t zone_reach_s(const struct zone *zone, int64_t local_s)
{
    int64_t until = local_s + APART_S;
    for (int64_t from = local_s - APART_S;;) {
        int64_t shift = zone_shift_s(zone, from, until), at = local_s - zone_offset_s(zone, from);
        if (at < shift)
            return at > from ? at : from;
        from = shift;
    }
}

int64_t zone_reached_local_s(const struct zone *zone, int64_t utc_s)
{
    int64_t reached = INT64_MIN;
    for (int64_t from = utc_s - APART_S; from <= utc_s;) {
        int64_t shift = zone_shift_s(zone, from, utc_s), last = shift - 1 + zone_offset_s(zone, from);
        if (last > reached)
            reached = last;
        from = shift;
    }
    return reached;
}

/* ── names ── */

enum { NAMES_MAX = 1024 }; /* 2025 has 598 */

struct names {
    const char *full[NAMES_MAX], *last[NAMES_MAX]; /* "Europe/Berlin" and, within it, "Berlin" */
    size_t count;
};

/* Cuts the names out of tzdata.zi: the second word of "Z NAME …", the third of "L TARGET NAME". */
static void cut_names(char *text, struct names *names)
{
    for (char *line; names->count < NAMES_MAX && (line = strsep(&text, "\n"));) {
        const char *kind = strsep(&line, " "), *name = strsep(&line, " ");
        if (*kind == 'L')
            name = strsep(&line, " ");
        if ((*kind != 'L' && *kind != 'Z') || !name || !is_name(name))
            continue;
        const char *slash = strrchr(name, '/');
        names->full[names->count] = name;
        names->last[names->count++] = slash ? slash + 1 : name;
    }
}

static const char *nearest_of(const char *wrong, const struct names *names)
{
    const char *full = nearest_name(wrong, names->full, names->count);
    const char *last = full ? NULL : nearest_name(wrong, names->last, names->count);
    for (size_t i = 0; last && !full; i++)
        if (names->last[i] == last)
            full = names->full[i];
    return full;
}

const char *zone_nearest(const char *wrong, char nearest[ZONE_NAME_BYTES])
{
    const char *folder = getenv("TZDIR");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/tzdata.zi", folder ? folder : "/usr/share/zoneinfo");
    char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return NULL;
    struct names names = {.count = 0};
    cut_names(text, &names);
    const char *found = nearest_of(wrong, &names);
    if (found)
        snprintf(nearest, ZONE_NAME_BYTES, "%s", found);
    g_free(text);
    return found ? nearest : NULL;
}
