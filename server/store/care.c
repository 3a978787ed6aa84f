#include "care.h"

#include "clock.h"
#include "log.h"
#include "marker.h"

static enum err rewrite(const struct config *config, struct buf *message)
{
    if (!marker_found(config->store_path))
        return ERR_OK;
    int64_t begun = clock_mono_ns();
    buf_printf(message, "A sync of the store has failed before (see %s/%s), so it is rewritten first. ",
               config->state_dir, MARKER_FILE);
    enum err err = store_rewrite(config->store_url, message);
    if (err != ERR_OK)
        return err;
    buf_fini(message);
    LOG(STORE_REWRITE, LOG_TEXT("path", config->store_path),
        LOG_INT("ms", (clock_mono_ns() - begun) / NS_PER_MS));
    if (marker_remove(config->store_path) == ERR_OK)
        return ERR_OK;
    buf_printf(message, "The store was rewritten, but %s/%s cannot be removed; the log says why. Remove it.",
               config->state_dir, MARKER_FILE);
    return ERR_STORE_UNUSABLE;
}

static enum err open_once(const struct config *config, struct store **store, struct buf *message)
{
    enum err err = rewrite(config, message);
    return err != ERR_OK ? err : store_open(config->store_url, store, message);
}

enum err care_open_store(const struct config *config, struct ballast *ballast, struct store **store,
                         struct buf *message)
{
    *store = NULL;
    ballast_init(ballast, config->state_dir, config->store_ballast);
    enum err err = open_once(config, store, message);
    if (err == ERR_STORE_FULL && ballast_release(ballast) > 0) {
        buf_fini(message);
        err = open_once(config, store, message);
    }
    return err;
}
