/* Other bodies: PATCH of a job (p), limits of a queue (q) and of a task (t), actions (a); and the parameters
 * of a filter (f), one name=value a line. The letter is the first line. */
#include "submission_fuzz.h"

#include "limit.h"

static void patch(const struct buf *body, struct problem *problem)
{
    struct buf tags = {0};
    struct store_patch patch = {0};
    enum err err = codec_patch(body, 1700000000000, &patch, &tags, problem);
    if (err != ERR_OK) {
        holds_problem(problem, err);
    } else {
        HOLDS(!patch.has_priority || patch.priority < PRIORITY_COUNT, "priority %d", patch.priority);
        HOLDS(patch.run_at_ms >= 0 && patch.expires_ms >= 0, "a time");
        if (patch.has_tags)
            holds_json("tags", patch.tags.at, patch.tags.bytes);
    }
    buf_fini(&tags);
}

/* What is taken is kept, and comes back from the store as it was. */
static void limits(const struct buf *body, unsigned whom, struct problem *problem)
{
    struct setting setting = {.to = limits_none()};
    struct buf kept = {0};
    enum err err = codec_limits(body, whom, &setting, problem);
    if (err != ERR_OK) {
        holds_problem(problem, err);
        return;
    }
    for (size_t i = 0; i < LIMIT_COUNT; i++)
        HOLDS(!setting.given[i] || limit_is_for((enum limit)i, whom), "not for it: %s",
              limit_member((enum limit)i));
    limits_write(&kept, &setting.to);
    holds_json("limits", kept.data, kept.bytes);
    struct limits back = limits_read((struct json_span){kept.data, kept.bytes});
    for (size_t i = 0; i < LIMIT_COUNT; i++)
        HOLDS(back.values[i] == setting.to.values[i], "%s: %lld is %lld", limit_member((enum limit)i),
              (long long)setting.to.values[i], (long long)back.values[i]);
    buf_fini(&kept);
}

static void action(const struct buf *body, struct problem *problem)
{
    struct buf ids = {0};
    struct action action;
    enum err err = codec_action(body, &action, &ids, problem);
    if (err != ERR_OK) {
        holds_problem(problem, err);
        buf_fini(&ids);
        return;
    }
    HOLDS(action_word(action.wanted) != NULL, "what is wanted");
    HOLDS(action.by_filter ? action.id_count == 0 : action.id_count > 0 && action.id_count <= ACTION_IDS_MAX,
          "%zu ids", action.id_count);
    for (size_t i = 1; i < action.id_count; i++)
        HOLDS(memcmp(&action.ids[i - 1], &action.ids[i], sizeof action.ids[0]) < 0, "an id twice");
    buf_fini(&ids);
}

static void filter(struct input input, struct problem *problem)
{
    struct filter filter = filter_all();
    while (input.bytes > 0) {
        char *name = input_text(input_line(&input)), *value = strchr(name, '=');
        size_t member = 0;
        if (value != NULL)
            *value++ = '\0';
        while (member < FILTER_COUNT && strcmp(filter_texts[member], name) != 0)
            member++;
        size_t faults = problem->count;
        if (member < FILTER_COUNT && value != NULL)
            HOLDS(filter_take(&filter, (enum filter_member)member, value, PLACE_PARAMETER, name, problem) ==
                      (problem->count == faults),
                  "whether there is a fault");
        free(name);
    }
    (void)filter_restricts(&filter, 1700000000000);
    struct job *job = job_new();
    (void)filter_fits(&filter, job);
    job_free(job);
    if (problem->err != ERR_OK)
        holds_problem(problem, problem->err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = {data, bytes}, mode = input_line(&input);
    struct problem problem = {0};
    struct buf body = {0};
    if (input.bytes > 0)
        buf_add(&body, input.data, input.bytes);
    switch (mode.bytes > 0 ? mode.data[0] : 'p') {
    case 'q':
        limits(&body, FOR_QUEUE, &problem);
        break;
    case 't':
        limits(&body, FOR_TASK, &problem);
        break;
    case 'a':
        action(&body, &problem);
        break;
    case 'f':
        filter(input, &problem);
        break;
    default:
        patch(&body, &problem);
    }
    problem_fini(&problem);
    buf_fini(&body);
    return 0;
}
