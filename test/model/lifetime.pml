/*
 * The end of an interface, as ifmgr/detach.go, internal/epoch, internal/loop and
 * ifmgr/inbox.go have it, for the model checker SPIN: every interleaving of two
 * readers, an asleep worker, the loop and the goroutines that end the device.
 *
 * There is one prefix, and incarnations 1 and 2 of an interface of one name. Where
 * the code has one atomic operation, one mutex or one system call, the model has
 * one step.
 *
 * model_test.go checks it as it is, and once with each of the mutants below, which
 * has to be caught. Without a mutant everything asserted here holds.
 */

#define READERS 2
#define DEAD    9       /* the dead file that severing puts behind a number */

mtype = { up, down, draining, orphaned, detached };

/* What readers load: one pointer, so both change in one step. */
byte leads;             /* where the prefix leads: an incarnation, or 0 for unreachable */
byte generation = 1;

/* internal/epoch */
byte now = 1;
byte entry[READERS];
bool waiting;
bool changed;           /* a channel of capacity 1 */

/* ifmgr, by incarnation */
mtype state[3] = detached;
byte refs[3];
byte withdrawn[3];      /* the generation from which on no lookup may return it */
byte number[3];         /* of its descriptor */
bool shut[3];           /* its inbox */
byte held[3];           /* packets in that */
bool interrupted;

/* The kernel: whose device is behind a number; 0 is free. */
byte device[2];

/* Mail to the loop, about incarnation 1. */
bool left, closed, severed;

/* What only the model knows. */
bool away[3];           /* its withdrawal has returned, and it was not restored */
bool reported;          /* the detach of 1 was reported */

/* ---- the two ways to use an interface ---- */

/* send is a system call: the kernel looks at the number once. */
inline send(i) {
	atomic {
		assert(device[number[i]] == i || device[number[i]] == DEAD);        /* G3, G4 */
		assert(i != 1 || !reported || device[number[i]] == DEAD)            /* G3 */
	}
}

/* hold puts a packet into the inbox, under its mutex. */
inline hold(i) {
	atomic { if :: !shut[i] -> held[i]++ :: else fi }
}

inline release(i) {
	atomic {
		assert(refs[i] > 0);
		refs[i]--;
		if :: refs[i] == 0 -> left = true :: else fi
	}
}

/* ---- readers: a worker's batches, or a TCP timer ---- */

inline load() {
	atomic {
		via = leads; gen = generation;
		assert(via == 0 || !away[via])                                      /* G1 */
	}
}

proctype Reader(byte r; byte batches) {
	byte n, e, via, gen, w;
	do
	:: atomic { n < batches -> n++ }
#ifdef LOAD_BEFORE_ENTER
		load();
		e = now;
		entry[r] = e;
#else
#ifndef NO_GUARD
		e = now;        /* Enter is two steps: it may store what is old already */
		entry[r] = e;
#endif
		load();
#endif
		if
		:: via != 0 ->
			w = withdrawn[via];
			assert(w == 0 || gen < w);                          /* lookup_dead_total */
			if
			:: hold(via)
			:: send(via)
			fi
		:: else
		fi;
		atomic { entry[r] = 0; e = 0; via = 0; gen = 0; w = 0 }         /* Leave */
		if :: waiting -> changed = true :: else fi
	:: else -> break
	od
}

/* The interface's own worker holds a handle while it sleeps in Recv, outside. */
proctype Sleeper() {
	interrupted;
	atomic { assert(device[number[1]] == 1 || device[number[1]] == DEAD) }
	release(1)
}

/* ---- the loop ---- */

/* Functions that wait for a grace period, in order of their stamps. */
#define NEXTHOP 1       /* a displaced nexthop gives its handle back */
#define MANAGER 2       /* the manager gives up its own */
byte stamp[3], what[3];
byte begun, over;       /* graces[over:begun] are under way */
byte pending;           /* what this turn has unpublished */

/* publish is fib.Table.Update with one change. A nexthop holds what it leads to. */
inline publish(i) {
	if :: i != 0 -> refs[i]++ :: else fi;
	if :: leads == 1 -> pending = pending | NEXTHOP :: else fi;
	atomic { leads = i; generation++ }
}

/* withdraw is ifmgr's: the FIB first, then the note. */
inline withdraw() {
	if :: leads == 1 -> publish(0) :: else fi;
	away[1] = true;
	withdrawn[1] = generation
}

inline end_turn() {
	if
	:: pending != 0 ->
#ifndef STAMP_BEFORE_WITHDRAW
		now++;
		stamp[begun] = now;
#endif
		what[begun] = pending; begun++; pending = 0
	:: else
	fi
}

inline close_device() { closing = true; if :: !severing -> run Close() :: else fi }

proctype Close() { device[number[1]] = 0; closed = true }
proctype Sever() { device[number[1]] = DEAD; severed = true }

inline report() {
	assert(leads != 1);                                                         /* G5 */
	reported = true
}

/* look is epoch.Domain.Passed: each reader is asked once, one after the other. */
inline look() {
	passed = true;
#ifndef NO_GRACE
	r = 0;
	do
	:: atomic { r < READERS && entry[r] != 0 && entry[r] < stamp[over] -> passed = false; r = READERS }
	:: atomic { r < READERS && !(entry[r] != 0 && entry[r] < stamp[over]) -> r++ }
	:: r == READERS -> break
	od;
	r = 0
#endif
}

inline attach_successor() {
	atomic {
		if :: device[0] == 0 -> number[2] = 0 :: else -> number[2] = 1 fi;
		device[number[2]] = 2
	}
	refs[2] = 1;
	state[2] = up;
	publish(2)
}

proctype Loop() {
	byte r, todo;
	bool passed, flapped, asked, added, closing, severing, tried, successor;

	do
	/* Settle: what waited for a grace period that is over. */
	:: over < begun ->
#ifdef LOOK_BEFORE_WATCH
		look();
		waiting = true;
#else
		waiting = true;
		look();
#endif
		if
		:: passed ->
			atomic {
				passed = false;
				todo = what[over]; what[over] = 0; stamp[over] = 0; over++;
				if :: todo & NEXTHOP -> release(1) :: else fi;
				if :: todo & MANAGER -> release(1) :: else fi;
				todo = 0
			}
		:: else ->
			/* Wait: for a reader that leaves, for mail, or for anything below. */
			if
			:: changed -> changed = false
			:: left || closed || severed
			:: state[1] == draining && !tried
			:: !asked
			fi
		fi
	:: over == begun && waiting -> waiting = false

	/* Somebody adds a route onto the interface. */
	:: !added ->
		added = true;
#ifdef NO_GATE
		if :: leads == 0 && device[number[1]] == 1 -> away[1] = false; publish(1) :: else fi
#else
		if :: state[1] == up && leads == 0 -> publish(1) :: else fi
#endif

	/* The carrier goes, and comes back: the same incarnation. */
	:: !asked && !flapped && state[1] == up ->
		state[1] = down; withdraw(); end_turn()
	:: !asked && !flapped && state[1] == down ->
		flapped = true;
		state[1] = up;
		away[1] = false;
#ifdef NOTE_AFTER_RESTORE
		publish(1);
		withdrawn[1] = 0;
#else
		withdrawn[1] = 0;
		publish(1);
#endif
		end_turn()

	/* Detach: gate, withdraw, purge, interrupt; then grace. */
	:: !asked ->
		asked = true;
		state[1] = draining;
#ifdef STAMP_BEFORE_WITHDRAW
		now++; stamp[begun] = now;
#endif
#ifdef NO_WITHDRAW
		away[1] = true; withdrawn[1] = generation;
#else
		withdraw();
#endif
#ifdef PURGE_IN_TWO_STEPS
		held[1] = 0; shut[1] = true;
#else
		atomic { held[1] = 0; shut[1] = true }
#endif
		interrupted = true;
		pending = pending | MANAGER;
		end_turn()

	/* The last holder has gone. */
	:: left ->
		left = false;
		close_device()

	/* Three quarters of the time are over, at whatever moment that is. */
	:: state[1] == draining && !tried && !closing ->
		tried = true; severing = true;
#ifdef ORPHAN_WITHOUT_SEVER
		severing = false; state[1] = orphaned; report()
#else
		run Sever()
#endif
	:: severed ->
		severed = false; severing = false;
		if
		:: closing -> run Close()
		:: else -> state[1] = orphaned; report()
		fi
#ifdef SLOW_KERNEL
	/* All of the time is over before the kernel has ended the device. */
	:: state[1] == draining && tried -> state[1] = orphaned; report()
#endif
	:: closed ->
		closed = false;
		if :: state[1] == draining -> report() :: else fi;
		state[1] = detached;
		break

	/* The name is free: the successor takes the lowest free number. */
	:: reported && !successor ->
		successor = true;
		attach_successor()
	od;
	if :: !successor -> attach_successor() :: else fi;
	assert(refs[1] == 0 && held[1] == 0)
}

init {
	atomic {
		state[1] = up; refs[1] = 3;     /* the manager's, the nexthop's, the worker's */
		device[0] = 1; leads = 1;
		run Reader(0, 2); run Reader(1, 1); run Sleeper(); run Loop()
	}
}
