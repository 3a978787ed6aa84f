/* Memory that runs out: SQLite's own allocations fail from the nth on. */
#ifndef FORKPOOL_TESTS_SCARCE_FIXTURE_H
#define FORKPOOL_TESTS_SCARCE_FIXTURE_H

#include "store_fixture.h"

static sqlite3_mem_methods real_memory;
static int allocations_left = -1; /* -1: as many as there are */

static inline bool may_allocate(void)
{
    return allocations_left < 0 || allocations_left-- > 0 || (allocations_left = 0, false);
}

static inline void *scarce_malloc(int bytes)
{
    return may_allocate() ? real_memory.xMalloc(bytes) : NULL;
}

static inline void *scarce_realloc(void *old, int bytes)
{
    return may_allocate() ? real_memory.xRealloc(old, bytes) : NULL;
}

/* With no store open. */
static inline void make_memory_scarce(void)
{
    sqlite3_shutdown();
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    sqlite3_mem_methods scarce = real_memory;
    scarce.xMalloc = scarce_malloc;
    scarce.xRealloc = scarce_realloc;
    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_MALLOC, &scarce), SQLITE_OK);
}

#endif
