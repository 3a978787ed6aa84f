#include "access.h"

#include "check.h"
#include "log.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

struct access {
    _Atomic uint32_t epoch; /* bank epoch % 2 is current */
    struct access_rules banks[2];
};

enum err access_open(struct access **access)
{
    void *at = mmap(NULL, sizeof **access, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        log_errno("mmap", "access");
        return ERR_SYSTEM;
    }
    *access = at;
    return ERR_OK;
}

void access_close(struct access *access)
{
    if (access != NULL)
        munmap(access, sizeof *access);
}

void access_publish(struct access *access, const struct config *config)
{
    uint32_t epoch = atomic_load_explicit(&access->epoch, memory_order_relaxed) + 1; /* ours alone */
    struct access_rules *bank = &access->banks[epoch % 2];
    CHECK(config->token_count <= TOKENS_MAX);
    /* The fence keeps these writes below the epoch that made the other bank current, so that a reader who
     * has seen any of them sees a new epoch too. */
    atomic_thread_fence(memory_order_release);
    bank->epoch = epoch;
    bank->mode = (uint32_t)config->auth_mode;
    bank->token_count = (uint32_t)config->token_count;
    if (config->token_count > 0)
        memcpy(bank->tokens, config->tokens, config->token_count * sizeof *config->tokens);
    /* Release: pairs with the acquire in access_refresh. */
    atomic_store_explicit(&access->epoch, epoch, memory_order_release);
}

void access_refresh(const struct access *access, struct access_rules *rules)
{
    for (;;) {
        /* Acquire: pairs with the release in access_publish. */
        uint32_t epoch = atomic_load_explicit(&access->epoch, memory_order_acquire);
        if (epoch == rules->epoch)
            return;
        memcpy(rules, &access->banks[epoch % 2], sizeof *rules);
        /* As in catalogue_copy: an unchanged epoch means an undisturbed copy (rule 2). */
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&access->epoch, memory_order_relaxed) == epoch) {
            CHECK(rules->epoch == epoch && rules->token_count <= TOKENS_MAX);
            return;
        }
        rules->epoch = 0;
    }
}
