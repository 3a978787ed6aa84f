/* What the free text of a list means (store.h). */
#include "store.h"

#include <string.h>
#include <strings.h>

enum { ID_DASH_AT = 8, ID_VERSION_AT = 14, MS_DIGITS = 12, KEY_DIGITS = 15 };

static int hex_digit(char byte)
{
    static const char DIGITS[] = "0123456789abcdefABCDEF";
    const char *at = byte == '\0' ? NULL : strchr(DIGITS, byte);
    int value = at == NULL ? -1 : (int)(at - DIGITS);
    return value < 16 ? value : value - 6;
}

static bool is_dash_place(size_t at)
{
    return at == ID_DASH_AT || at == 13 || at == 18 || at == 23;
}

/* The beginning of a UUID of version 7, the first dash included. */
static bool begins_id(const char *text)
{
    size_t bytes = strlen(text);
    if (bytes <= ID_DASH_AT || bytes >= ID_TEXT_BYTES)
        return false;
    for (size_t at = 0; at < bytes; at++) {
        bool fits = is_dash_place(at) ? text[at] == '-' : hex_digit(text[at]) >= 0;
        if (!fits || (at == ID_VERSION_AT && text[at] != '7'))
            return false;
    }
    return true;
}

/* A key is the 12 digits of the time and the 3 behind the version. */
bool store_text_keys(const char *text, int64_t *from, int64_t *below)
{
    int64_t key = 0;
    int digits = 0;
    if (!begins_id(text))
        return false;
    for (size_t at = 0; text[at] != '\0' && digits < KEY_DIGITS; at++) {
        if (is_dash_place(at) || at == ID_VERSION_AT)
            continue;
        key = key << 4 | hex_digit(text[at]);
        digits++;
    }
    int missing = 4 * (KEY_DIGITS - digits);
    *from = key << missing;
    *below = (key + 1) << missing;
    return true;
}

bool store_text_is(const char *text, struct id id, const char *task, const char *message)
{
    char id_text[ID_TEXT_BYTES];
    if (text[0] == '\0')
        return true;
    if (!begins_id(text) && (strcasestr(task, text) != NULL || strcasestr(message, text) != NULL))
        return true;
    id_format(id, id_text);
    return strncasecmp(id_text, text, strlen(text)) == 0;
}
