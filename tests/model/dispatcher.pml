/* The dispatcher, one thread of the front: part of forkpool.pml. */

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
