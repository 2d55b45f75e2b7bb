// Package place decides who gets which job. It has two halves that only ever meet by messages:
//
//   - Slots is the worker's half: this node's slots, who holds them, who gets the next. It is the only authority on them,
//     so two homes can't overload a worker, however stale their news of it.
//   - Home is the home's half: the jobs that wait here, the grants held on each node, and what to do next. Binding is late: a job
//     waits here and starts where a grant comes first.
//
// The home node is one more worker to itself: its Home asks its own Slots.
//
// Both are pure: no goroutine, clock, socket or random number; time is an argument. Calls record what is to be done, and the caller
// takes it with Take and does it. Neither is safe for concurrent use: one lock or one goroutine owns both.
package place

import "time"

// Lease is how long a grant may lie idle at a home before the home gives it back.
const Lease = time.Second

// Void is how long a worker waits for a grant to be used or returned before it takes the slot back by itself.
const Void = 2 * Lease

// Grant is one slot of one worker, promised to one home. Its ID is the worker's.
type Grant uint64
