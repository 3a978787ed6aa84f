#include "err.h"

#include "check.h"

static const struct {
    const char *code;
    int status;
    const char *title;
} ERRORS[ERR_COUNT] = {
#define E(name, code, status, title) [ERR_##name] = {code, status, title},
    ERR_TABLE(E)
#undef E
};

const char *err_code(enum err err)
{
    CHECK(err < ERR_COUNT);
    return ERRORS[err].code;
}

int err_status(enum err err)
{
    CHECK(err < ERR_COUNT);
    return ERRORS[err].status;
}

const char *err_title(enum err err)
{
    CHECK(err < ERR_COUNT);
    return ERRORS[err].title;
}
