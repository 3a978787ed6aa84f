#include "tags.h"

#include "json.h"

#include <string.h>

bool tag_ok(const char *tag)
{
    size_t bytes = strlen(tag), characters = 0;
    for (size_t at = 0; at < bytes; characters++) {
        size_t length = json_utf8_length(tag + at, bytes - at);
        if (length == 0 || (unsigned char)tag[at] < 0x20 || tag[at] == 0x7f)
            return false;
        at += length;
    }
    return characters > 0 && characters <= TAG_CHARACTERS;
}

bool tags_add(struct buf *out, const char *tag)
{
    if (tags_hold((struct text){out->data, out->bytes}, tag))
        return false;
    if (out->bytes > 0)
        out->bytes--; /* the bracket that ended it */
    buf_put(out, out->bytes > 0 ? "," : "[");
    buf_put_json(out, tag, strlen(tag));
    buf_put(out, "]");
    return true;
}

bool tags_next(struct text tags, size_t *at, char tag[TAG_BYTES])
{
    size_t from = *at + 1, used = 0; /* after the bracket or the comma */
    if (tags.at == NULL || from >= tags.bytes || tags.at[from] != '"')
        return false;
    for (from++; from < tags.bytes && tags.at[from] != '"' && used < TAG_BYTES - 1; from++) {
        if (tags.at[from] == '\\' && ++from == tags.bytes)
            return false;
        tag[used++] = tags.at[from];
    }
    if (from >= tags.bytes || tags.at[from] != '"')
        return false;
    tag[used] = '\0';
    *at = from + 1;
    return true;
}

bool tags_hold(struct text tags, const char *tag)
{
    char one[TAG_BYTES];
    for (size_t at = 0; tags_next(tags, &at, one);) {
        if (strcmp(one, tag) == 0)
            return true;
    }
    return false;
}
