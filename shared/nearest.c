#include "nearest.h"

#include <stdbool.h>
#include <string.h>

/* Longer names are not compared: a wrong one may come from a client, and the work grows with its square. */
enum { COMPARED_BYTES = 128 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static char folded(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

/* Levenshtein's, row by row; both texts fit into COMPARED_BYTES. */
static size_t edit_distance(const char *from, size_t from_bytes, const char *to, size_t to_bytes)
{
    size_t row[COMPARED_BYTES + 1];
    for (size_t j = 0; j <= to_bytes; j++)
        row[j] = j;
    for (size_t i = 1; i <= from_bytes; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= to_bytes; j++) {
            size_t replaced = diagonal + (folded(from[i - 1]) != folded(to[j - 1]));
            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[to_bytes];
}

const char *nearest_name(const char *wrong, const char *const *known, size_t count)
{
    size_t bytes = strlen(wrong);
    if (bytes > COMPARED_BYTES)
        return NULL;
    size_t limit = (bytes / 3 > 2 ? bytes / 3 : 2) + 1;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t known_bytes = strlen(known[i]);
        if (known_bytes > COMPARED_BYTES)
            continue;
        size_t distance = edit_distance(wrong, bytes, known[i], known_bytes);
        bool alike = distance < (bytes > known_bytes ? bytes : known_bytes);
        if (alike && distance < limit) {
            limit = distance;
            nearest = known[i];
        }
    }
    return nearest;
}
