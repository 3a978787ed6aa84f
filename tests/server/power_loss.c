/* What a power loss leaves of a store. The real store, on a disk that remembers what was synced
 * (power_vfs.h), under a load of everything that it can be asked for. Before any write, sync or change of a
 * folder the power may fail: then what the disk might hold is put aside, and once the group under way has
 * ended, opened by the normal code and read.
 *
 *     power_loss [--points N] [--seed S]    worlds of the seeds S, S + 1, …, until the power has failed N
 * times power_loss --seed S --worlds 1        that one again; this is the line that a violation prints
 *     power_loss --marker PERCENT           so many lives begin with the marker of a failed sync (marker.h)
 *     power_loss --mutant NAME              the world is wrong in that way, and this has to be noticed
 *
 * Commits have numbers. The content of the store after each one is kept as one number, so what is found
 * afterwards is the state after one of the commits, or it is wrong. Which ones are allowed:
 *   1. none before the last one that was acknowledged at the level `full` (one without any change writes
 * nothing, and so syncs nothing: it has acknowledged nothing)
 *   2. none before the last one that was acknowledged at all, if only the processes died (POWER_ALL)
 *   3. none after the one that was under way: that one whole, or not at all
 *   4. only the last one, if the file says that it was closed in order
 * In all of them the tables agree with each other (power_state.h), the store is the same one, and takes jobs
 * again, in places in the order that were never given before. The world goes on with one of these disks.
 */
#include "power_state.h"

#include "ballast.h"
#include "care.h"
#include "clock.h"
#include "log.h"
#include "marker.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { COMMITS = 4096, IMAGES = 256, LIVES = 5, GROUPS = 14, PATH_ROOM = 256 };

struct image {
    char folder[PATH_ROOM];
    enum power_keep keep;
    int floor, ceiling; /* the commits that it may hold */
    bool in_flight;     /* or the one that is under way */
    bool known;         /* the store had been opened before */
};

static const struct {
    const char *name, *what;
    unsigned deaf;
} MUTANTS[] = {
    {"normal", "groups of the level full are not synced", 0},
    {"lying", "no sync does anything", POWER_DEAF_LOG | POWER_DEAF_FILE | POWER_DEAF_FOLDER},
    {"log", "the log is not synced", POWER_DEAF_LOG},
    {"file", "the main file is not synced, so a log that begins anew takes its place", POWER_DEAF_FILE},
    {"folder", "the folder is not synced", POWER_DEAF_FOLDER},
};
enum { MUTANT_COUNT = sizeof MUTANTS / sizeof *MUTANTS };

static int mutant = -1;
static uint64_t seed;
static char base[PATH_ROOM / 2], live[PATH_ROOM]; /* of this world */
static uint64_t commits[COMMITS];
static int last_commit, last_full;
static bool in_group, opened;
static int64_t changes_before; /* the group under way */
static struct id identity;
static struct image images[IMAGES];
static size_t image_count;
static uint32_t rarity; /* one of so many points */
static uint32_t marker_percent = 15;
static long points, worlds, kept_counts[POWER_ALL + 1];

_Noreturn static void broken(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "power_loss: ");
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (mutant >= 0) {
        fprintf(stderr, "\nas it should be: %s (%s), found after %ld points\n", MUTANTS[mutant].name,
                MUTANTS[mutant].what, points);
        char command[PATH_ROOM];
        snprintf(command, sizeof command, "rm -rf %s", base);
        exit(system(command) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    fprintf(stderr, "\nthe disk is left in %s; again: power_loss --seed %llu --worlds 1\n", base,
            (unsigned long long)seed);
    exit(EXIT_FAILURE);
}

/* --- folders --- */

static void each_file(const char *folder, void (*visit)(const char *path, const char *name, const char *to),
                      const char *to)
{
    DIR *entries = opendir(folder);
    if (entries == NULL)
        broken("%s: %s", folder, strerror(errno));
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        char path[2 * PATH_ROOM];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.')
            visit(path, entry->d_name, to);
    }
    closedir(entries);
}

static void remove_file(const char *path, const char *name, const char *to)
{
    (void)name, (void)to;
    if (unlink(path) != 0)
        broken("%s: %s", path, strerror(errno));
}

static void copy_file(const char *path, const char *name, const char *to)
{
    char target[2 * PATH_ROOM], piece[65536];
    snprintf(target, sizeof target, "%s/%s", to, name);
    FILE *from = fopen(path, "rb"), *into = fopen(target, "wb");
    if (from == NULL || into == NULL)
        broken("%s: %s", target, strerror(errno));
    for (size_t bytes; (bytes = fread(piece, 1, sizeof piece, from)) > 0;)
        if (fwrite(piece, 1, bytes, into) != bytes)
            broken("%s: %s", target, strerror(errno));
    if (fclose(from) != 0 || fclose(into) != 0)
        broken("%s: %s", target, strerror(errno));
}

static void make_folder(const char *folder)
{
    if (mkdir(folder, 0755) != 0)
        broken("%s: %s", folder, strerror(errno));
}

static void remove_folder(const char *folder)
{
    each_file(folder, remove_file, NULL);
    if (rmdir(folder) != 0)
        broken("%s: %s", folder, strerror(errno));
}

/* --- the power fails --- */

static void fail_now(void)
{
    struct image *image = &images[image_count];
    uint32_t kind = power_below(100);
    image->keep = kind < 15 ? POWER_SYNCED : kind < 30 ? POWER_ALL : POWER_SOME;
    image->floor = image->keep == POWER_ALL ? last_commit : last_full;
    image->ceiling = last_commit;
    image->in_flight = in_group;
    image->known = opened;
    snprintf(image->folder, sizeof image->folder, "%s/image%zu", base, image_count);
    power_image(image->keep, image->folder);
    image_count++;
    points++;
    kept_counts[image->keep]++;
}

/* Changes of folders are few, and much hangs on their order. */
static void at_point(bool of_folder)
{
    if (image_count < IMAGES && power_below(of_folder ? 2 : rarity) == 0)
        fail_now();
}

/* --- what is left --- */

static struct config config_of(const char *folder, char *url)
{
    snprintf(url, PATH_ROOM + 32, "sqlite://%s/forkpool.db", folder);
    return (struct config){.store_url = url,
                           .store_path = url + strlen("sqlite://"),
                           .state_dir = (char *)(uintptr_t)folder,
                           .store_ballast = 4096};
}

static struct store *open_in(const char *folder, struct ballast *ballast)
{
    char url[PATH_ROOM + 32];
    struct config config = config_of(folder, url);
    struct store *found;
    BUF_AUTO message = {0};
    enum err err = care_open_store(&config, ballast, &found, &message);
    if (err != ERR_OK)
        broken("the store in %s cannot be opened: %.*s", folder, (int)message.bytes, message.data);
    return found;
}

static int commit_of(uint64_t content, int from, int to)
{
    for (int i = to; i >= from; i--)
        if (commits[i] == content)
            return i;
    return -1;
}

/* It takes a job, which stays. */
static void takes_jobs(struct store *found, const char *folder)
{
    struct store *kept = store;
    struct ballast ballast;
    store = found;
    int64_t places = ask("SELECT coalesce(max(seq), 0) FROM jobs");
    must(store_begin(store, DURABILITY_FULL), "begin");
    struct job *job = new_job(DURABILITY_FULL);
    struct store_submit submit = {.job = job};
    must(store_submit(store, &submit), "submit");
    must(store_commit(store), "commit");
    if (job->spec.seq <= places)
        broken("a place in the order is given again: %lld", (long long)job->spec.seq);
    uint64_t content = content_of(store);
    makes_sense(store);
    store_close(store);
    store = open_in(folder, &ballast);
    if (content_of(store) != content || store_was_unclean(store))
        broken("a store that was closed in order is not what it was");
    store_close(store);
    store = kept;
}

/* The commit whose state it holds. */
static int check_image(const struct image *image)
{
    struct ballast ballast;
    struct store *found = open_in(image->folder, &ballast);
    int to = image->in_flight ? last_commit : image->ceiling;
    int commit = commit_of(content_of(found), image->floor, to);
    if (commit < 0) {
        int other = commit_of(content_of(found), 0, last_commit);
        if (other < 0)
            broken("%s holds what no commit has left (%d to %d were allowed)", image->folder, image->floor,
                   to);
        broken("%s holds the state after commit %d; %d to %d were allowed", image->folder, other,
               image->floor, to);
    }
    if (!store_was_unclean(found) && commit < image->ceiling)
        broken("%s was closed in order, and lacks what was committed", image->folder);
    if (image->known && !id_equal(store_identity(found), identity))
        broken("%s is another store", image->folder);
    makes_sense(found);
    if (percent(20))
        takes_jobs(found, image->folder);
    else
        store_close(found);
    return commit;
}

/* The first one from here on is what the world goes on with, if `next` says where to. -1: there is none. */
static int check_images(const char *next)
{
    int commit = -1;
    for (size_t i = 0; i < image_count; i++) {
        if (i == 0 && next != NULL)
            each_file(images[i].folder, copy_file, next);
        int found = check_image(&images[i]);
        commit = i == 0 ? found : commit;
        remove_folder(images[i].folder);
    }
    image_count = 0;
    return commit;
}

/* --- a world --- */

/* forkpool_lane of schema_3.sql, which is run here on an empty table. */
static void one_lane(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count, (void)values;
    sqlite3_result_int64(context, 0);
}

/* A store as an earlier version has left it, with some jobs. */
static void make_old(int version)
{
    static const char *const SCHEMAS[] = {store_schema_sql, store_schema_2_sql, store_schema_3_sql};
    static const char ROWS[] =
        "INSERT INTO meta VALUES ('id', randomblob(16)); UPDATE meta SET value = 500 WHERE name = 'seq';"
        "INSERT INTO jobs (id_key, id_random, state, created_ms, queue, task, %s seq, priority, durability, "
        "timeout_ms,"
        " kill_after_ms, max_attempts, backoff, initial_ms, max_ms, jitter, epoch, args)"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)"
        " SELECT (7000 + i) << 12, i, 0, 7000 + i, 'queue' || (i %% 3), 'task0', %s i, 5, 2, 1000, 1000, 3, "
        "0, 1, 1, 0, 0,"
        " hex(randomblob(200)) FROM n;"
        "INSERT INTO counts SELECT queue, task, state, count(*) FROM jobs GROUP BY 1, 2, 3; COMMIT;";
    char path[2 * PATH_ROOM];
    sqlite3 *db;
    BUF_AUTO sql = {0};
    snprintf(path, sizeof path, "%s/forkpool.db", live);
    buf_printf(&sql,
               "PRAGMA journal_mode = WAL; PRAGMA application_id = %d; PRAGMA user_version = %d; BEGIN;",
               APPLICATION_ID, version);
    for (int i = 0; i < version; i++)
        buf_put(&sql, SCHEMAS[i]);
    buf_printf(&sql, ROWS, version == 3 ? "lane," : "", version == 3 ? "i % 3," : "");
    buf_add(&sql, "", 1);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_create_function(db, "forkpool_lane", 3, SQLITE_UTF8, NULL, one_lane, NULL, NULL) !=
            SQLITE_OK ||
        sqlite3_exec(db, sql.data, NULL, NULL, NULL) != SQLITE_OK)
        broken("a store of version %d: %s", version, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void leave_marker(void)
{
    char path[2 * PATH_ROOM];
    snprintf(path, sizeof path, "%s/forkpool.db", live);
    marker_leave(path, "test", EIO);
}

/* The checkpointer and a reader, as the front has them; here the one thread plays them all. */
struct others {
    struct store_checkpointer *checkpointer;
    sqlite3 *copier, *reader;
};

static sqlite3 *open_beside(const char *pragmas)
{
    char path[2 * PATH_ROOM];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/forkpool.db", live);
    if (sqlite3_open(path, &db) != SQLITE_OK || sqlite3_exec(db, pragmas, NULL, NULL, NULL) != SQLITE_OK)
        broken("a connection: %s", sqlite3_errmsg(db));
    return db;
}

static void begin_life(struct others *others)
{
    struct ballast ballast;
    char url[PATH_ROOM + 32];
    power_watch(live, at_point);
    store = open_in(live, &ballast);
    if (percent(20))
        (void)!ballast_make(&ballast);
    if (!opened)
        commits[0] = content_of(store);
    else if (content_of(store) != commits[last_commit])
        broken("what was found before is lost");
    identity = store_identity(store);
    (void)config_of(live, url);
    must(store_checkpointer_open(url, &others->checkpointer), "checkpointer_open");
    others->copier = open_beside("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0");
    others->reader = open_beside("PRAGMA query_only = 1");
    check_images(NULL);
    opened = true;
}

/* The connections go as they do when the process dies: nothing of it is recorded. */
static void abandon(struct others *others)
{
    power_unwatch();
    store_checkpointer_close(others->checkpointer);
    sqlite3_close(others->copier);
    sqlite3_close(others->reader);
    if (store != NULL)
        store->reader.connection.failed = true; /* so that store_close writes nothing */
    store_close(store);
    store = NULL;
}

static void committed(enum durability level)
{
    in_group = false;
    if (++last_commit == COMMITS)
        broken("too many commits");
    commits[last_commit] = content_of(store);
    if (level == DURABILITY_FULL && sqlite3_total_changes64(store->reader.connection.db) != changes_before)
        last_full = last_commit;
}

static void do_group(void)
{
    enum durability level = percent(50) ? DURABILITY_FULL : DURABILITY_PROCESS;
    bool normal = mutant >= 0 && strcmp(MUTANTS[mutant].name, "normal") == 0;
    changes_before = sqlite3_total_changes64(store->reader.connection.db);
    in_group = true;
    must(store_begin(store, normal ? DURABILITY_PROCESS : level), "begin");
    for (uint32_t i = 1 + power_below(GROUP_OPS); i > 0; i--)
        do_something(level);
    if (percent(8)) {
        store_rollback(store);
        in_group = false;
    } else {
        must(store_commit(store), "commit");
        committed(level);
    }
    let_go();
}

static void do_probe(void)
{
    changes_before = sqlite3_total_changes64(store->reader.connection.db);
    in_group = true;
    must(store_probe(store), "probe");
    committed(DURABILITY_FULL);
}

/* What goes on beside the groups. */
static void do_others(const struct others *others)
{
    static const int MODES[] = {SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_FULL, SQLITE_CHECKPOINT_RESTART,
                                SQLITE_CHECKPOINT_TRUNCATE};
    int pages;
    if (percent(25))
        must(store_checkpoint(others->checkpointer, &pages), "checkpoint");
    if (percent(25)) {
        int code = sqlite3_wal_checkpoint_v2(others->copier, NULL, MODES[power_below(4)], NULL, NULL);
        if (code != SQLITE_OK && code != SQLITE_BUSY)
            broken("a checkpoint: %s", sqlite3_errmsg(others->copier));
    }
    if (percent(5))
        must(store_settle(store), "settle");
    if (percent(30)) /* it reads for a while, so the log cannot begin anew */
        sqlite3_exec(others->reader,
                     sqlite3_get_autocommit(others->reader) ? "BEGIN; SELECT * FROM meta" : "COMMIT", NULL,
                     NULL, NULL);
}

static void close_in_order(void)
{
    store_close(store);
    store = NULL;
    last_full = last_commit; /* a stop in order loses nothing, whatever happens next */
}

/* The power fails at the end, at the latest; what is left then is in `next`. */
static void live_on(const char *next)
{
    struct others others;
    begin_life(&others);
    for (uint32_t i = 1 + power_below(GROUPS); i > 0; i--) {
        check_images(NULL);
        now_ms += power_below(3000);
        do_others(&others);
        check_images(NULL);
        if (percent(5))
            do_probe();
        else
            do_group();
    }
    if (percent(30)) {
        check_images(NULL);
        close_in_order();
    }
    if (image_count == 0)
        fail_now();
    abandon(&others);
    make_folder(next);
    last_commit = last_full = check_images(next);
}

static void run_world(uint64_t number)
{
    char next[PATH_ROOM];
    seed = number;
    power_seed(seed);
    sqlite3_randomness(0, NULL); /* SQLite's own chance begins anew with ours */
    now_ms = 1700000000000 + (int64_t)power_below(1000000);
    id_counter = 0;
    rarity = 4 + power_below(40);
    last_commit = last_full = 0;
    opened = false;
    snprintf(live, sizeof live, "%s/live", base);
    make_folder(live);
    if (percent(15))
        make_old(1 + (int)power_below(3));
    for (uint32_t lives = 1 + power_below(LIVES); lives > 0; lives--) {
        if (opened && percent(marker_percent))
            leave_marker();
        snprintf(next, sizeof next, "%s/next", base);
        live_on(next);
        remove_folder(live);
        if (rename(next, live) != 0)
            broken("%s: %s", next, strerror(errno));
    }
    remove_folder(live);
    worlds++;
}

/* --- the command --- */

static int usage(void)
{
    fprintf(stderr, "usage: power_loss [--points N] [--seed S] [--worlds N] [--marker PERCENT] [--mutant "
                    "NAME]\nmutants:\n");
    for (size_t i = 0; i < MUTANT_COUNT; i++)
        fprintf(stderr, "  %-8s %s\n", MUTANTS[i].name, MUTANTS[i].what);
    return 2;
}

static int mutant_of(const char *name)
{
    for (size_t i = 0; i < MUTANT_COUNT; i++)
        if (strcmp(MUTANTS[i].name, name) == 0)
            return (int)i;
    exit(usage());
}

int main(int count, char **arguments)
{
    long wanted = 1000, worlds_wanted = 0;
    uint64_t first = (uint64_t)time(NULL);
    for (int i = 1; i < count; i += 2) {
        if (i + 1 == count)
            return usage();
        if (strcmp(arguments[i], "--points") == 0)
            wanted = strtol(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--seed") == 0)
            first = strtoull(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--worlds") == 0)
            worlds_wanted = strtol(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--marker") == 0)
            marker_percent = (uint32_t)strtoul(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--mutant") == 0)
            mutant = mutant_of(arguments[i + 1]);
        else
            return usage();
    }
    log_set_level(LOG_LEVEL_COUNT);
    power_install();
    power_deafen(mutant >= 0 ? MUTANTS[mutant].deaf : 0);
    snprintf(base, sizeof base, "%s/power_loss.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(base) == NULL)
        broken("%s: %s", base, strerror(errno));
    int64_t began = clock_mono_ns();
    for (uint64_t next = first; worlds_wanted > 0 ? worlds < worlds_wanted : points < wanted; next++)
        run_world(next);
    rmdir(base);
    printf("%ld power losses in %ld worlds from seed %llu (%ld times only what was synced was left, %ld "
           "times some of "
           "the rest, %ld times all), %.1f s: nothing lost, nothing invented\n",
           points, worlds, (unsigned long long)first, kept_counts[POWER_SYNCED], kept_counts[POWER_SOME],
           kept_counts[POWER_ALL], (double)(clock_mono_ns() - began) / NS_PER_SEC);
    if (mutant < 0)
        return EXIT_SUCCESS;
    fprintf(stderr, "power_loss: the mutant %s was not noticed\n", MUTANTS[mutant].name);
    return EXIT_FAILURE;
}
