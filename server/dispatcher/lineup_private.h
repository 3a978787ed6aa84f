/* What the files of the lineup share; nobody else includes it. */
#ifndef FORKPOOL_LINEUP_PRIVATE_H
#define FORKPOOL_LINEUP_PRIVATE_H

#include "lineup.h"

/* FNV-1a of a text, its end included, from LINE_HASH_FIRST or the hash of what stands before it. Meters are
 * found by it in later lives: its values stay. */
#define LINE_HASH_FIRST UINT64_C(14695981039346656037)
uint64_t line_hash(uint64_t hash, const char *text);

/* name: of the queue or task, or the key; scope: whose keys those are, "" for everybody's. */
void line_gate_init(struct gate *gate, enum gate_kind kind, const char *scope, const char *name);
bool line_lane_before(const struct heap_node *a, const struct heap_node *b);
void line_gate_limit(const struct lineup *lineup, struct gate *gate, int64_t concurrency, int64_t rate,
                     int64_t burst);
/* limits NULL: those of keys that neither a queue nor a task limits. */
void line_limit_key(const struct lineup *lineup, struct gate *gate, const struct limits *limits);
struct key_line *line_key_of(struct lineup *lineup, const struct lane *lane);
void line_drop_key(struct lineup *lineup, struct key_line *key);
void line_forget_lane(struct lineup *lineup, struct lane *lane);
/* Out of the heap in which it stands; into its level's. */
void line_leave(struct lineup *lineup, struct lane *lane);
void line_stand(struct lineup *lineup, struct lane *lane);
void line_catch_up(struct lineup *lineup, struct queue *queue);
/* ≤ 0: the rate of the gate lets a job go now; else how long until it does. */
int64_t line_rate_wait_ns(const struct gate *gate, int64_t now_ns);
void line_settle_queue(struct lineup *lineup, struct queue *queue);

#endif
