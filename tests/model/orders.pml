/* Publishing and claiming (shared/ring.c, shared/slots.c, post_work and take_job) where stores become visible late
 * and in any order that C11 allows with the orders that the code names. forkpool.pml takes each access for
 * sequentially consistent; this one shows that the few words of a publication need no more than they have.
 *
 * A store is issued, and becomes visible to the others later: a release only after all that its thread stored
 * before, a relaxed one at any time. A load that may be done early has a second place in its thread. A fence waits
 * until all that its thread issued is visible. Two publications go through the same cell, so that a worker with an
 * old head may read the newer ticket before the tail says so.
 */

#define JOBS 2
#define WORKERS 2

/* What the others see. Tickets and slots are numbers from 1 on; the ring has one cell. */
bool payload[JOBS + 1], queued[JOBS + 1], running[JOBS + 1];
byte cell, tail, head;
bool waiting[WORKERS];

/* Issued by the dispatcher, by a worker, and not visible yet. */
bool late_payload[JOBS + 1], late_queued[JOBS + 1], late_cell[JOBS + 1], late_tail[JOBS + 1];
bool late_waiting[WORKERS];

byte work_value;
bool asleep[WORKERS];
bool claimed[JOBS + 1]; /* a ghost */

#define FLUSHED(j) (!late_payload[j] && !late_queued[j] && !late_cell[j] && !late_tail[j])

proctype memory(byte j)
{
end_all:
    do
    :: atomic { late_payload[j] -> late_payload[j] = 0; payload[j] = 1 }
    /* slot_publish, S1: release */
    :: atomic { late_queued[j] && !late_payload[j] -> late_queued[j] = 0; queued[j] = 1 }
    :: atomic { late_cell[j] -> late_cell[j] = 0; cell = j }
    /* ring_push, R1: release */
#if defined(MUT_TAIL_RELAXED)
    :: atomic { late_tail[j] -> late_tail[j] = 0; tail = j }
#elif defined(MUT_QUEUED_LATE)
    :: atomic { late_tail[j] && !late_payload[j] && !late_cell[j] -> late_tail[j] = 0; tail = j }
#else
    :: atomic { late_tail[j] && !late_payload[j] && !late_cell[j] && !late_queued[j] -> late_tail[j] = 0; tail = j }
#endif
    :: atomic { late_waiting[j - 1] -> late_waiting[j - 1] = 0; waiting[j - 1] = 1 }
    od
}

proctype dispatcher()
{
    byte j = 1;
    do
    :: j <= JOBS ->
       head == j - 1; /* there is room; acquire */
       atomic { late_payload[j] = 1; late_queued[j] = 1; late_cell[j] = 1; late_tail[j] = 1 };
#ifndef MUT_NO_FENCE_D1
       FLUSHED(j);
#endif
       if /* post_work */
       :: atomic { waiting[0] || waiting[1] -> work_value++ };
          if
          :: asleep[0] -> asleep[0] = 0
          :: asleep[1] -> asleep[1] = 0
          :: !asleep[0] && !asleep[1]
          fi
       :: !waiting[0] && !waiting[1]
       fi;
       FLUSHED(j); /* sooner or later */
       j++
    :: j > JOBS -> break
    od
}

proctype worker(byte w)
{
    byte h, s;
    bool looked, mine, early, read;
look:
    h = head; /* ring_peek: acquire */
#ifdef MUT_PEEK_RELAXED
    s = cell;
#endif
    if
    :: tail > h; /* R2: acquire */
#ifndef MUT_PEEK_RELAXED
       s = cell; /* relaxed */
#endif
#ifdef MUT_CLAIM_RELAXED
       if
       :: early = 1; read = payload[s]
       :: early = 0
       fi;
#endif
       atomic { /* slot_claim: acquire on success */
           mine = queued[s] && !running[s];
           if
           :: mine -> running[s] = 1; claimed[s] = 1
           :: else
           fi
       };
       if
       :: mine ->
          if
          :: !early -> read = payload[s]
          :: early
          fi;
          assert(read) /* the payload is that of the publication */
       :: !mine
       fi;
       atomic { /* ring_advance */
           if
           :: head == h -> assert(claimed[s]); head++ /* only what somebody has claimed is passed */
           :: else
           fi;
           s = 0; early = 0; read = 0; mine = 0; looked = 0
       };
       waiting[w] = 0;
       goto look
    :: tail <= h
    fi;
    if
    :: !looked ->
       atomic { late_waiting[w] = 1; looked = 1 }; /* W1 */
#ifndef MUT_NO_FENCE_W1
       !late_waiting[w];
#endif
       goto look
    :: looked
    fi;
sleep:
    if
    :: atomic { work_value > 0 -> work_value-- }
    :: atomic { work_value == 0 -> asleep[w] = 1 };
end_asleep: !asleep[w]; goto sleep
    fi;
    looked = 0;
    atomic { !late_waiting[w] -> waiting[w] = 0 };
    goto look
}

proctype judge()
{
    timeout ->
    assert((!asleep[0] && !asleep[1]) || (claimed[1] && claimed[2]));
    assert(claimed[1] && claimed[2])
}

init
{
    atomic {
        run memory(1); run memory(2); run dispatcher(); run worker(0); run worker(1); run judge()
    }
}
