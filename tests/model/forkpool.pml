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

#include "dispatcher.pml"

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
