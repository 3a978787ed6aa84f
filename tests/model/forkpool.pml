/* The protocol of shared memory, as the code has it: ring, claim words, run words, semaphores, reap, deaths,
 * completions, trays; dispatcher, committer, workers, supervisor; a killer who strikes at any step until it
 * stops. No wait has a timeout here: what the code does after 500 ms is not needed for anything below.
 *
 * Each step is one access to a shared word. docs/reliability.md says what is checked and what is not; run checks.
 * MUT_… selects one mistake that the checks must find.
 */

#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef JOBS
#define JOBS 2
#endif
#ifndef CELLS
#define CELLS 2 /* RING_CELLS */
#endif
#ifndef WORKER_DEATHS
#define WORKER_DEATHS 1 /* by the killer, or a worker that recycles itself with a claim */
#endif
#ifndef FRONT_DEATHS
#define FRONT_DEATHS 1
#endif
#ifndef STOPS
#define STOPS 0 /* deadlines that pass */
#endif
#ifndef CANCELS
#define CANCELS 0 /* requests to cancel the last job */
#endif
#ifndef URGENT
#define URGENT 0 /* times that all that is published is taken back */
#endif

#define NONE 255

/* enum slot_state */
#define FREE 0
#define BUILDING 1
#define HELD 2
#define QUEUED 3
#define RUNNING 4
#define DONE 5

/* enum run_phase; SIGNALLING is left out: it is a wait of the worker for the supervisor's next line */
#define IDLE 0
#define RUN 1
#define STOPPING 2
#define FINISHING 3
#define KILLED 4

/* outcomes, causes of death, and states of a row */
#define BLANK 0
#define SUCCESS 1
#define TIMEOUT 2
#define CANCELLED 3
#define LOST 4
#define RECYCLED 5

/* enum cell_place */
#define NOWHERE 0
#define READY 1
#define LIVE 2
#define LANDING 3

/* a process */
#define ABSENT 0
#define UP 1
#define STRUCK 2 /* killed; takes no step any more */
#define ZOMBIE 3
#define DYING 4
#define BURIED 5

/* --- shared memory --- */

/* claim words (shared/slots.h), and what lies in the slots */
byte state[SLOTS], gen[SLOTS], owner[SLOTS], inc[SLOTS];
byte job[SLOTS], attempt[SLOTS], outcome[SLOTS];
bool asked[SLOTS]; /* cancel_requested */

/* struct ring */
byte head, tail, cell_slot[CELLS], cell_gen[CELLS];

/* the semaphores: a value, and who sleeps in the kernel */
byte work_value, done_value;
bool work_asleep[WORKERS], done_asleep;

/* struct board */
byte incarnation[WORKERS], run_number[WORKERS], phase[WORKERS], stop_cause[WORKERS];
byte ticket_slot[WORKERS], ticket_gen[WORKERS], cancel_slot[WORKERS], cancel_gen[WORKERS];
bool waiting[WORKERS];
bool completed[WORKERS]; /* a ring of completions with one place */
byte complete_slot[WORKERS], complete_gen[WORKERS];
bool death[WORKERS]; /* a ring of deaths with one place */
byte death_inc[WORKERS], death_cause[WORKERS];

/* a tray with room for one record (shared/trays.h): its tail is past its head */
bool tray[WORKERS];
byte record_slot[WORKERS], record_gen[WORKERS], record_inc[WORKERS];

bool backlog; /* segment_header.backlog: jobs are in line that the window keeps back */

/* --- the store: one row a job --- */

byte row_state[JOBS]; /* BLANK: queued */
byte row_attempt[JOBS];

/* --- private to the front, lost with it --- */

byte place[SLOTS], verdict[SLOTS], landed[SLOTS]; /* landed: 0 not committed, 1 yes, 2 another has */
bool kept[SLOTS];                                 /* the attempt is recorded */
byte death_slot[WORKERS] = NONE;
bool scan_now, stale, doubtful;

/* --- the processes, and ghosts that only the checks read --- */

byte life[WORKERS], front;
byte executes[WORKERS] = NONE; /* the job whose task runs in this worker or in its process group */
bool past[WORKERS];            /* it won the run word: there is a result */
bool exit_recycled[WORKERS];
bool cancel_wanted, cancel_ever; /* of the last job */
bool take_back_wanted;
byte worker_deaths, front_deaths, stops, cancels, urgents; /* that are still to come */

#define OTHERS_ENDED (ended(1) OTHERS_2)
#if JOBS > 2
#define OTHERS_2 && ended(2)
#else
#define OTHERS_2
#endif
#ifdef MUT_NO_GENERATION
#define CLEAR_TICKET
#define CLEAR_CELL
#else /* what is void is made alike: fewer states */
#define CLEAR_TICKET ; ticket_slot[w] = 0; ticket_gen[w] = 0
#define CLEAR_CELL cell_slot[h % CELLS] = 0; cell_gen[h % CELLS] = 0;
#endif
#ifdef FINE
#define HEAD h
#else
#define HEAD head
#endif
/* Workers are alike until the first one dies: let that be worker 0. */
#define MAY_DIE(w) (worker_deaths > 0 && (w == 0 || life[0] != UP || incarnation[0] > 0))
#define post_whole(value, wake) value++; wake
#define ended(j) (row_state[j] != BLANK)

inline wake_worker()
{
    if
    :: work_asleep[0] -> work_asleep[0] = 0
#if WORKERS > 1
    :: work_asleep[1] -> work_asleep[1] = 0
#endif
#if WORKERS > 2
    :: work_asleep[2] -> work_asleep[2] = 0
#endif
    :: else
    fi
}

/* --- worker/worker.c --- */

/* the record, then the tail (T3) */
#define PUT_RECORD record_slot[w] = s; record_gen[w] = g; record_inc[w] = incarnation[w]; tray[w] = 1
#ifdef LONG /* job 0 runs until all others have ended, or it is told to stop */
#define MAY_END(j) (j != 0 || OTHERS_ENDED)
#else
#define MAY_END(j) true
#endif

proctype worker(byte w)
{
    byte h, s, g, result;
    bool looked, mine;
    do
    :: {
        life[w] == UP;
look:   /* scan_rings, ring_peek: the head before the tail */
#ifdef FINE
        h = head;
#define LOAD_HEAD
#else
#define LOAD_HEAD h = head;
#endif
        if
        :: atomic { tail > HEAD -> LOAD_HEAD s = cell_slot[h % CELLS]; g = cell_gen[h % CELLS] };
#ifdef MUT_POP_FIRST
           atomic { mine = (head == h); if :: mine -> head++ :: else fi };
           atomic {
               mine = mine && state[s] == QUEUED && gen[s] == g;
#else
           atomic { /* slot_claim */
               mine = state[s] == QUEUED && gen[s] == g;
#endif
               if
               :: mine -> state[s] = RUNNING; owner[s] = w; inc[s] = incarnation[w]
               :: else
               fi
           };
           atomic {
#ifndef MUT_POP_FIRST
               if
               :: head == h -> CLEAR_CELL head++ /* ring_advance */
               :: else
               fi;
#endif
               h = 0;
               if
               :: mine -> mine = 0; goto begin
               :: else -> goto look
               fi
           }
        :: atomic {
               tail <= HEAD -> h = 0; s = 0; g = 0;
               if
               :: looked -> looked = 0
               :: else -> goto mark
               fi
           }
        fi;
#ifndef MUT_NO_BACKLOG
        if
        :: atomic { backlog -> done_value++ }; done_asleep = 0
        :: !backlog
        fi;
#endif
sleep:  if /* sem_hint_wait */
        :: atomic { work_value > 0 -> work_value-- }
        :: atomic { work_value == 0 -> work_asleep[w] = 1 }; !work_asleep[w]; goto sleep
        fi;
        waiting[w] = 0;
        goto look;
mark:   atomic { waiting[w] = 1; looked = 1; goto look }; /* W1 */

begin:  if
        :: atomic { looked -> waiting[w] = 0; looked = 0; goto begin }
        /* run_job: accepted under a newer catalogue */
        :: atomic {
               !looked && MAY_DIE(w) -> worker_deaths--;
               life[w] = ZOMBIE; exit_recycled[w] = 1; s = 0; g = 0; goto over
           }
        :: atomic { !looked -> ticket_slot[w] = s; ticket_gen[w] = g /* board_begin */
#if STOPS + CANCELS > 0
           }
        fi;
        if
        :: atomic {
               skip
#endif
           ;
            run_number[w]++; phase[w] = RUN; /* B1 */
            /* the task runs: two attempts of one job never do, and none after its end is on record */
            assert(executes[0] != job[s]);
#if WORKERS > 1
            assert(executes[1] != job[s]);
#endif
#if WORKERS > 2
            assert(executes[2] != job[s]);
#endif
            assert(!ended(job[s]));
            executes[w] = job[s]
           }
        fi;
        if /* the task ends, and board_finish; in KILLED it sleeps for ever */
        :: atomic { phase[w] == RUN && MAY_END(job[s]) -> phase[w] = FINISHING; result = SUCCESS; executes[w] = NONE; past[w] = 1 }
        :: atomic { phase[w] == STOPPING -> phase[w] = FINISHING; result = SUCCESS; executes[w] = NONE; past[w] = 1 }
        :: atomic {
               phase[w] == STOPPING -> phase[w] = FINISHING; result = stop_cause[w];
               executes[w] = NONE; past[w] = 1; goto finish
           }
        fi;
        if /* tray_put: while there is no room, the dispatcher is told; */
        :: atomic { tray[w] -> done_value++ }; done_asleep = 0;
           if
           :: atomic { !tray[w] -> PUT_RECORD }
           fi
        :: atomic { !tray[w] -> PUT_RECORD }
        fi;
finish: atomic { /* slot_finish, S1 */
            assert(state[s] == RUNNING && owner[s] == w && inc[s] == incarnation[w] && gen[s] == g);
            outcome[s] = result; state[s] = DONE; result = 0
        };
        if
        :: atomic { /* board_complete, B3 */
            if
            :: !completed[w] -> complete_slot[w] = s; complete_gen[w] = g; completed[w] = 1
            :: else
            fi;
            s = 0; g = 0;
            phase[w] = IDLE; past[w] = 0 /* board_idle */
            CLEAR_TICKET
        }
        fi;
        done_value++;    /* sem_hint(done): the value, */
        done_asleep = 0; /* then the wake-up */
        goto look;
over:   skip
    } unless {
        atomic { life[w] == STRUCK -> life[w] = ZOMBIE; h = 0; s = 0; g = 0; result = 0; looked = 0; mine = 0 }
    }
    od
}

/* --- server/supervisor/: nobody strikes it, for then everything starts anew from the store --- */

proctype supervisor(byte w) /* one per worker, as if it did not make one wait for another */
{
    byte noted; /* what stops_check saw of the run word, perhaps long ago */
turn:
    do
    /* stops.c, stops_check and ask */
    :: atomic {
           STOPS + CANCELS > 0 && life[w] == UP && phase[w] == RUN && noted != run_number[w] -> noted = run_number[w]
       } /* B2 */
    :: atomic {
           noted != 0 && cancel_slot[w] == ticket_slot[w] && cancel_gen[w] == ticket_gen[w] ->
           stop_cause[w] = CANCELLED; goto ask
       }
    :: atomic { noted != 0 && stops > 0 -> stops--; stop_cause[w] = TIMEOUT; goto ask }
    /* press: the grace is over */
#ifdef MUT_KILL_UNWON
    :: phase[w] == STOPPING -> phase[w] = KILLED; goto kill
#else
    :: atomic { phase[w] == STOPPING -> phase[w] = KILLED; goto kill } /* board_move_run */
#endif
    /* reap.c: wait4, bury_worker, find_cause; reap_group_gone; reap_settle: first the death, */
    :: atomic {
           life[w] == ZOMBIE ->
           if
           :: phase[w] == KILLED -> death_cause[w] = stop_cause[w]
           :: phase[w] == IDLE && exit_recycled[w] -> death_cause[w] = RECYCLED
           :: else -> death_cause[w] = LOST
           fi;
           assert(!death[w]);
#ifndef MUT_REQUEUE_EARLY
           executes[w] = NONE;
#endif
           noted = 0; death_inc[w] = incarnation[w]; death[w] = 1 /* B5 */
       };
       incarnation[w]++; /* then the incarnation, */
       atomic {          /* then the posts */
           life[w] = ABSENT;
#ifndef MUT_NO_REAP_POST
           post_whole(done_value, done_asleep = 0);
           post_whole(work_value, wake_worker())
#endif
       }
    /* pools.c, fill and free_board: not while the ring of deaths is full; clean_board */
    :: atomic {
           life[w] == ABSENT && !death[w] ->
           phase[w] = IDLE; waiting[w] = 0; past[w] = 0; exit_recycled[w] = 0; stop_cause[w] = BLANK;
           executes[w] = NONE; life[w] = UP
       }
    od;
ask:
    if
    :: atomic {
           if
           :: phase[w] == RUN && run_number[w] == noted -> phase[w] = STOPPING
           :: else
           fi;
           noted = 0
       }
    fi;
    goto turn;
kill:
    if
    :: atomic {
           if
           :: life[w] == UP ->
              assert(phase[w] == KILLED && !past[w]); /* it hits the run that was to be stopped, unfinished */
              life[w] = STRUCK; work_asleep[w] = 0
           :: else
           fi
       }
    fi;
    goto turn
}

/* --- server/dispatcher/, one thread of the front --- */

/* Its record is that of a result that may still be wanted (record_live, slot_owner_dead: the claim word
 * first, then the incarnation). */
#define RECORD_OF(w) (gen[record_slot[w]] == record_gen[w])
#define RUNS_BY(w) (state[record_slot[w]] == RUNNING && owner[record_slot[w]] == w && \
                    inc[record_slot[w]] == record_inc[w])

/* The claim word a second time: its owner may have finished, and died then. The dead change it no more, so this
 * look and that at the incarnation are one step. */
#ifdef MUT_OWNER_LOOKED_AT_ONCE
#define STILL_RUNS_BY(w) true
#else
#define STILL_RUNS_BY(w) RUNS_BY(w)
#endif

inline tray_reclaim(x)
{
    if
    :: atomic {
           tray[x] -> /* T4 */
#ifdef MUT_TRAY_RUNNING
           kind = (RECORD_OF(x) && state[record_slot[x]] == DONE -> DONE : FREE)
#else
           kind = (!RECORD_OF(x) -> FREE : (state[record_slot[x]] == DONE -> DONE : (RUNS_BY(x) -> RUNNING : FREE)))
#endif
       };
       atomic {
           if
#ifdef MUT_INCARNATION_FIRST
           :: kind == RUNNING && remembered != record_inc[x] -> kind = FREE
#else
           :: kind == RUNNING && incarnation[x] > record_inc[x] && STILL_RUNS_BY(x) -> kind = FREE
#endif
           :: else
           fi;
           if
           :: kind == FREE -> tray[x] = 0; record_slot[x] = 0; record_gen[x] = 0; record_inc[x] = 0 /* T2 */
           :: else
           fi;
           kind = 0
       }
    :: !tray[x]
    fi
}

#ifdef MUT_NO_GENERATION
#define RAISED(g) (g)
#else
#define RAISED(g) ((g) + 1)
#endif

/* landing_send: the committer has it from here on */
inline landing_send(s, what, keep)
{
    verdict[s] = what; kept[s] = keep; landed[s] = 0; place[s] = LANDING
}

/* landing.c, land_done: the claim word says DONE, so what the worker wrote is there */
inline land_done(s)
{
    landing_send(s, outcome[s], 1)
#ifdef MUT_FREE_EARLY
    ; state[s] = FREE
#endif
}

/* cancel_held: marked first; its commit is a step of its own */
inline cancel_held(s)
{
    asked[s] = 1; landing_send(s, CANCELLED, 0)
}

/* publish_take_back: slot_unpublish */
inline take_back(s)
{
    if
    :: place[s] == LIVE && state[s] == QUEUED -> state[s] = HELD; place[s] = READY; stale = 1
    :: else
    fi
}

/* Past the slots that are of no concern, by what the dispatcher alone knows: no step of its own. */
#define PASS_SLOTS(concerned) do :: s < SLOTS && !(concerned) -> s++ :: else -> break od
#define ACKNOWLEDGE(w) death[w] = 0; death_inc[w] = 0; death_cause[w] = 0
#ifdef FINE /* each worker's word by itself, or past those that have nothing to say */
#define PASS_WORKERS(concerned)
#else
#define PASS_WORKERS(concerned) do :: w < WORKERS - 1 && !(concerned) -> w++ :: else -> break od;
#endif
#define NEXT_WORKER(label, next) if :: w == WORKERS - 1 -> w = 0; goto next :: else -> w++; goto label fi
#define WAITING_WORKERS (waiting[0] + WAITING_1 + WAITING_2)
#if WORKERS > 1
#define WAITING_1 waiting[1]
#else
#define WAITING_1 0
#endif
#if WORKERS > 2
#define WAITING_2 waiting[2]
#else
#define WAITING_2 0
#endif
#define ANY(what) (place[0] == what ANY_1(what) ANY_2(what))
#if SLOTS > 1
#define ANY_1(what) || place[1] == what
#else
#define ANY_1(what)
#endif
#if SLOTS > 2
#define ANY_2(what) || place[2] == what
#else
#define ANY_2(what)
#endif
#define HOT(j) ((place[0] != NOWHERE && job[0] == j) HOT_1(j) HOT_2(j))
#if SLOTS > 1
#define HOT_1(j) || (place[1] != NOWHERE && job[1] == j)
#else
#define HOT_1(j)
#endif
#if SLOTS > 2
#define HOT_2(j) || (place[2] != NOWHERE && job[2] == j)
#else
#define HOT_2(j)
#endif

#define FRESH_DEATH(w) (death_slot[w] == NONE && death[w] && incarnation[w] > death_inc[w]) /* B6 */

proctype dispatcher()
{
    byte s, w, j, out, most, kind, released;
#ifdef MUT_INCARNATION_FIRST
    byte remembered;
#endif
    bool again;
    do
    :: {
        /* recovery_take_over: ring_clear */
        atomic { front == UP -> head = tail };
        do
        :: atomic { /* free_slot, take_slot */
               s < SLOTS ->
               if
               :: state[s] == FREE
#ifdef MUT_BUILDING_KEPT
               :: state[s] == BUILDING
#else
               :: state[s] == BUILDING -> state[s] = FREE
#endif
               :: state[s] == HELD -> place[s] = READY
#ifdef MUT_NO_REPUBLISH
               :: state[s] == QUEUED -> place[s] = LIVE
#else
               :: state[s] == QUEUED -> state[s] = HELD; place[s] = READY
#endif
               :: state[s] == RUNNING ->
                  place[s] = LIVE;
                  if
                  :: asked[s] -> cancel_slot[owner[s]] = s; cancel_gen[owner[s]] = gen[s]
                  :: else
                  fi
               :: state[s] == DONE -> place[s] = LIVE
               fi;
               if /* line_up */
               :: place[s] == READY && asked[s] -> cancel_held(s)
               :: else
               fi;
               s++
           }
        :: atomic { s == SLOTS -> s = 0; scan_now = 1; doubtful = 1; break }
        od;

turn:   /* dispatcher_step: take_inbox, landing_outcome */
#ifdef MUT_INCARNATION_FIRST
        remembered = incarnation[0];
#endif
        if
        :: atomic {
               PASS_SLOTS(place[s] == LANDING && landed[s] != 0);
               if
               :: s == SLOTS -> s = 0; goto request
               :: s < SLOTS && verdict[s] == LOST && landed[s] == 1 -> /* requeue */
                  assert(state[s] == RUNNING);
                  state[s] = BUILDING; gen[s] = RAISED(gen[s]); goto charged
               :: else -> /* leave_slot, admit_release */
                  released = (state[s] == DONE -> owner[s] + 1 : 0);
                  state[s] = FREE; owner[s] = 0; inc[s] = 0; job[s] = 0; attempt[s] = 0; outcome[s] = 0; asked[s] = 0;
                  place[s] = NOWHERE; verdict[s] = 0; landed[s] = 0; kept[s] = 0;
                  if
                  :: released == 0 -> goto acknowledge
                  :: else -> goto reclaim
                  fi
               fi
           }
        fi;
charged:
        if
        :: atomic {
               attempt[s]++; state[s] = HELD; owner[s] = 0; inc[s] = 0; place[s] = READY; verdict[s] = 0; landed[s] = 0; kept[s] = 0;
               if
               :: asked[s] -> cancel_held(s)
               :: else
               fi;
               goto acknowledge
           }
        fi;
reclaim:
        tray_reclaim(released - 1);
        atomic { released = 0; goto acknowledge };
acknowledge: /* deaths_landed */
        if
        :: atomic {
               do
               :: w < WORKERS && death_slot[w] == s -> death_slot[w] = NONE; ACKNOWLEDGE(w); w++
               :: w < WORKERS && death_slot[w] != s -> w++
               :: w == WORKERS -> w = 0; break
               od;
               s = 0; goto turn
           }
        fi;

request: /* to cancel the last job: cancel_asked, cancel_hot */
        if
        :: atomic { !cancel_wanted -> goto rows }
        :: atomic { cancel_wanted && !HOT(JOBS - 1) -> /* in the store, by the committer */
               if
               :: !ended(JOBS - 1) -> row_state[JOBS - 1] = CANCELLED
               :: else
               fi;
               cancel_wanted = 0; goto rows
           }
        :: atomic { cancel_wanted && HOT(JOBS - 1) ->
               PASS_SLOTS(place[s] != NOWHERE && job[s] == JOBS - 1);
               take_back(s);
               if
               :: place[s] == READY -> cancel_held(s); cancel_wanted = 0; s = 0; goto rows
               :: else
               fi
           }
        fi;
        if
        :: atomic { place[s] == LIVE && state[s] == RUNNING -> asked[s] = 1; kind = gen[s] };
           if
           :: atomic { /* ask_running */
                  cancel_slot[owner[s]] = s; cancel_gen[owner[s]] = kind; kind = 0; cancel_wanted = 0; s = 0; goto rows
              }
           fi
        :: atomic { else -> s = 0; goto rows } /* parked until it has landed */
        fi;

rows:   /* fetch_loaded, admit_row, fill_slot */
        if
        :: atomic {
               PASS_SLOTS(place[s] == NOWHERE && state[s] == FREE);
               j = 0;
               do
               :: j < JOBS && (ended(j) || HOT(j)) -> j++
               :: else -> break
               od;
               if
               :: s == SLOTS || j == JOBS -> s = 0; j = 0; goto deaths
               :: else ->
                  state[s] = BUILDING; gen[s] = RAISED(gen[s]); job[s] = j; attempt[s] = row_attempt[j];
                  asked[s] = 0; outcome[s] = BLANK; j = 0
               fi
           }
        fi;
        if
        :: atomic { state[s] = HELD; place[s] = READY; s = 0; goto rows }
        fi;

deaths: /* deaths.c, resolve: find_held, then charge or give_back */
        if
        :: atomic {
               PASS_WORKERS(FRESH_DEATH(w))
               if
               :: FRESH_DEATH(w)
               :: else -> NEXT_WORKER(deaths, collect)
               fi;
               scan_now = 1; doubtful = 1; kind = NONE;
               do
               :: s < SLOTS && place[s] == LIVE && state[s] == RUNNING && owner[s] == w && inc[s] == death_inc[w] ->
                  kind = s; s++
               :: s < SLOTS && !(place[s] == LIVE && state[s] == RUNNING && owner[s] == w && inc[s] == death_inc[w]) ->
                  s++
               :: s == SLOTS -> s = 0; break
               od;
               if
               :: kind != NONE && death_cause[w] != RECYCLED ->
                  landing_send(kind, (asked[kind] && death_cause[w] == LOST -> CANCELLED : death_cause[w]), 1);
                  death_slot[w] = kind; kind = 0; NEXT_WORKER(deaths, collect)
               :: kind != NONE && death_cause[w] == RECYCLED ->
                  gen[kind] = RAISED(gen[kind]); state[kind] = HELD; owner[kind] = 0; inc[kind] = 0; place[kind] = READY;
                  if
                  :: asked[kind] -> cancel_held(kind)
                  :: else
                  fi
               :: else
               fi;
               kind = 0
           };
           if
           :: atomic { ACKNOWLEDGE(w); NEXT_WORKER(deaths, collect) }
           fi
        fi;

collect: /* landing_collect: take_completions */
        if
        :: atomic {
               PASS_WORKERS(completed[w])
               if
               :: completed[w] /* B4 */
               :: else -> NEXT_WORKER(collect, scan)
               fi;
               s = complete_slot[w]; kind = complete_gen[w]; completed[w] = 0; complete_slot[w] = 0; complete_gen[w] = 0;
#ifndef MUT_COMPLETIONS_ONLY
               scan_now = 1; /* the ring was full: more may be done than it could say */
#endif
           };
           if
           :: atomic {
                  if
                  :: place[s] == LIVE && state[s] == DONE && gen[s] == kind -> land_done(s)
                  :: else
                  fi;
                  s = 0; kind = 0; goto collect
              }
           fi
        fi;

scan:   /* scan_live */
#ifndef MUT_COMPLETIONS_ONLY
        if
        :: atomic { !scan_now -> s = 0; goto publish }
        :: atomic {
               scan_now -> PASS_SLOTS(place[s] == LIVE);
               if
               :: s == SLOTS -> s = 0; scan_now = 0; goto trays
               :: s < SLOTS && state[s] == DONE -> land_done(s)
               :: else
               fi;
               s++; goto scan
           }
        fi;
trays:  /* reclaim_trays */
        if
        :: atomic {
               PASS_WORKERS(tray[w])
               if
               :: tray[w]
               :: else -> NEXT_WORKER(trays, publish)
               fi
           }
        fi;
        tray_reclaim(w);
        atomic { NEXT_WORKER(trays, publish) };
#endif

publish: /* publish_ready, publish_pool; publish_take_all_back */
        if
        :: atomic { !take_back_wanted -> s = 0; goto window }
        :: atomic {
               take_back_wanted -> PASS_SLOTS(place[s] == LIVE);
               if
               :: s == SLOTS -> take_back_wanted = 0; s = 0; goto window
               :: else -> take_back(s); s++; goto publish
               fi
           }
        fi;
window: if
        :: atomic { most = 1 + WAITING_WORKERS;
               if
               :: stale -> goto rebuild
               :: else -> goto fill
               fi
           }
        fi;
rebuild: head = tail; /* ring_clear */
        do
        :: atomic {
               PASS_SLOTS(place[s] == LIVE);
               if
               :: s == SLOTS -> s = 0; stale = 0; break
               :: else -> take_back(s); s++
               fi
           }
        od;
fill:   if
        :: atomic { out = tail - head }
        fi;
        do
        :: atomic {
               PASS_SLOTS(place[s] == READY);
               if
               :: s == SLOTS || out >= most -> s = 0; out = 0; goto post
               :: else -> state[s] = QUEUED; gen[s] = RAISED(gen[s]); place[s] = LIVE; out++ /* P1, slot_publish */
               fi
           };
           if /* ring_push */
           :: atomic { tail - head >= CELLS -> s = 0; out = 0; goto rebuild }
           :: atomic { tail - head < CELLS -> cell_slot[tail % CELLS] = s; cell_gen[tail % CELLS] = gen[s] }
           fi;
           if
           :: atomic { tail++; s++ } /* R1 */
           fi
        od;

post:   backlog = ANY(READY);
        if /* post_work, D1 */
        :: atomic {
#ifdef MUT_SPIN
               again = backlog;
#else
               again = backlog && WAITING_WORKERS + 1 > most;
#endif
               most = 0;
               out = (tail - head < WAITING_WORKERS -> tail - head : WAITING_WORKERS);
               if
               :: out == 0 -> goto sleep
               :: else
               fi
           }
        fi;
        if
        :: atomic {
               if
               :: work_value == 0 -> doubtful = 0
#ifdef MUT_TOKENS_TRUSTED
               :: else -> out = (work_value < out -> out - work_value : 0)
#else
               :: work_value != 0 && doubtful
               :: else -> out = (work_value < out -> out - work_value : 0)
#endif
               fi
           }
        fi;
        do
        :: out > 0 -> /* sem_hint: the value, then the wake-up */
           if
           :: atomic { work_value++; out-- }
           fi;
           if
           :: atomic { wake_worker() }
           fi
        :: out == 0 -> break
        od;
sleep:  if /* dispatcher_turn: sem_hint_wait, sem_hint_drain */
        :: atomic { again -> again = 0; goto turn }
        :: atomic { !again && done_value > 0 -> done_value = 0; goto turn }
        :: atomic { !again && done_value == 0 -> done_asleep = 1 }; !done_asleep; goto sleep
        fi
    } unless {
        atomic { front == STRUCK -> front = UP;
            s = 0; w = 0; j = 0; out = 0; most = 0; kind = 0; released = 0; again = 0;
#ifdef MUT_INCARNATION_FIRST
            remembered = 0
#endif
        }
    }
    od
}

/* --- server/store/committer.c, the thread of the front that writes the store: one commit is one step --- */

inline commit()
{
    /* the record in the tray is whole while its result is wanted */
    assert(verdict[s] != SUCCESS ||
           (tray[owner[s]] && record_slot[owner[s]] == s &&
            record_gen[owner[s]] == gen[s] && record_inc[owner[s]] == inc[s]));
    assert(verdict[s] != CANCELLED || (cancel_ever && job[s] == JOBS - 1));
    if
#ifdef MUT_UNCONDITIONAL
    :: true ->
#else
    :: row_state[job[s]] == BLANK && row_attempt[job[s]] == attempt[s] -> /* store_land */
#endif
       assert(row_state[job[s]] == BLANK); /* one terminal record */
       if
       :: verdict[s] != LOST -> row_state[job[s]] = verdict[s]
       :: else
       fi;
       row_attempt[job[s]] = row_attempt[job[s]] + kept[s];
       landed[s] = 1
#ifndef MUT_UNCONDITIONAL
    :: else ->
       assert(ended(job[s]) || row_attempt[job[s]] > attempt[s]); /* or the store calls itself corrupt */
       landed[s] = 2
#endif
    fi;
    s = 0;
    done_value++; done_asleep = 0
}

proctype committer()
{
    byte s;
end_group:
    do
    :: atomic { front == UP && place[0] == LANDING && landed[0] == 0 -> s = 0; commit() }
#if SLOTS > 1
    :: atomic { front == UP && place[1] == LANDING && landed[1] == 0 -> s = 1; commit() }
#endif
#if SLOTS > 2
    :: atomic { front == UP && place[2] == LANDING && landed[2] == 0 -> s = 2; commit() }
#endif
    od
}

/* --- who strikes, and who judges --- */

inline strike_front()
{
    front = STRUCK; done_asleep = 0;
    clear = 0;
    do
    :: clear < SLOTS -> place[clear] = NOWHERE; verdict[clear] = 0; landed[clear] = 0; kept[clear] = 0; clear++
    :: clear == SLOTS -> clear = 0; break
    od;
    do
    :: clear < WORKERS -> death_slot[clear] = NONE; clear++
    :: clear == WORKERS -> clear = 0; break
    od;
    scan_now = 0; stale = 0; doubtful = 0; cancel_wanted = 0; take_back_wanted = 0
}

proctype killer()
{
    byte clear;
    do
    :: atomic { MAY_DIE(0) && life[0] == UP -> worker_deaths--; life[0] = STRUCK; work_asleep[0] = 0 }
#if WORKERS > 1
    :: atomic { MAY_DIE(1) && life[1] == UP -> worker_deaths--; life[1] = STRUCK; work_asleep[1] = 0 }
#endif
#if WORKERS > 2
    :: atomic { MAY_DIE(2) && life[2] == UP -> worker_deaths--; life[2] = STRUCK; work_asleep[2] = 0 }
#endif
    :: atomic { front_deaths > 0 && front == UP -> front_deaths--; strike_front() }
    :: atomic {
           cancels > 0 && front == UP -> cancels--; cancel_wanted = 1; cancel_ever = 1;
           post_whole(done_value, done_asleep = 0)
       }
    :: atomic { urgents > 0 && front == UP -> urgents--; take_back_wanted = 1; post_whole(done_value, done_asleep = 0) }
    od
}

/* Nothing moves any more, and nobody strikes: every job has its one record, and nothing is left behind. */
proctype judge()
{
    byte i;
    d_step {
        timeout ->
        i = 0;
        do
        :: i < JOBS -> assert(ended(i)); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < SLOTS -> assert(state[i] == FREE && place[i] == NOWHERE); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < WORKERS -> assert(life[i] == UP && !death[i] && phase[i] == IDLE && !tray[i]); i++
        :: else -> break
        od
    }
}

#define CHOOSE(budget, most) do :: budget < most -> budget++ :: break od

init
{
    atomic {
        byte i;
        front = UP;
        /* few or many: for what is stuck must not be freed by the next death alone */
        CHOOSE(worker_deaths, WORKER_DEATHS);
        CHOOSE(front_deaths, FRONT_DEATHS);
        CHOOSE(stops, STOPS);
        CHOOSE(cancels, CANCELS);
        CHOOSE(urgents, URGENT);
        i = 0;
        do
        :: i < WORKERS -> life[i] = UP; run worker(i); run supervisor(i); i++
        :: else -> break
        od;
        run dispatcher(); run committer(); run killer(); run judge()
    }
}
