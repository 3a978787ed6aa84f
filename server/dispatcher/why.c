#include "why.h"

#include "check.h"

static const struct {
    const char *code, *sentence;
} TABLE[REASON_COUNT] = {
#define R(name, code, sentence) {code, sentence},
    REASONS(R)
#undef R
};

const char *reason_code(enum reason reason)
{
    CHECK(reason < REASON_COUNT);
    return TABLE[reason].code;
}

const char *reason_sentence(enum reason reason)
{
    CHECK(reason < REASON_COUNT);
    return TABLE[reason].sentence;
}
