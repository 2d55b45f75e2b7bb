// Package jobserver lends the tokens of a GNU make jobserver to jobs on other nodes; and it has a jobserver of its own for mpmake and mprun, whose
// size follows a target (Own, Elastic). The rest is about lending: it makes no difference to it whose jobserver it is.
//
// The make at home has one pipe (or fifo) with a byte for each job that may run beside the first; whoever reads a byte may run one more
// job, and writes the same byte back. A job on another node gets a pipe or fifo of its own there, of the same style, made by the
// worker (Pool, Nest). The home takes bytes out of the caller's pipe and lends them (Lender, Home); they go to the job's
// pipe over the job's stream, and come back the same way.
//
// What is promised:
//
//   - Nothing is minted: a byte is in the caller's pipe or in the book of the lender, under the name of one borrower, never in both.
//     What a job gives back beyond what it was lent is dropped.
//   - Nothing is lost: when a borrower is gone, however it went, every byte that it still had is written back before its end is told.
//   - Bytes keep their identity: what is written back are the very bytes that were taken.
//   - No flag of the caller's open file is set: the pipe is opened anew, and never read before it is known to hold a byte.
//
// A pipe does not show that a reader waits for it, and some clients never wait: ninja only tries, each time that a job of its own has
// ended. So one token is offered to each job, and that it was read is the sign that more are wanted. There are two kinds of offers:
//
//   - A trial, to a job that asks. It asks when its pipe is opened, when it has read the last offer, and now and then after that, with
//     growing pauses. A trial that nobody has read for a moment (grace) goes home at once.
//   - A standing offer, to a job that does not ask, while the home has more than one token that nobody wants there. It stays until it is
//     read, or until the home's own pipe is empty: then somebody may wait there, and it is recalled.
//
// So a token that lies unread somewhere is always one that lies unread at home too, but for a moment; and a nested make that waits
// gets the next one that comes free, or one that is free already after at most the longest pause, when it is the last.
//
// To look for waiting readers in /proc/PID/syscall was refused: it tells nothing of a client that only tries, needs the right to trace,
// and takes a look at each thread of the job each time.
//
// Not promised: that tokens survive their home daemon. What is lent when that is killed is lost to the make, as is every job
// that it was lent to; of its own a daemon holds none for longer than it takes to send it.
package jobserver

import "time"

const (
	// grace is how long a trial or a returned token may lie unread: longer than a make that was woken by it takes to read it.
	grace = 10 * time.Millisecond

	// The pause before a job asks again that did not read its last trial: it doubles each time.
	firstPause = 20 * time.Millisecond
	lastPause  = 500 * time.Millisecond

	// look is how often the home looks whether its pipe is empty while offers stand elsewhere, and quiet how long it must not have been
	// before any is made.
	look  = 5 * time.Millisecond
	quiet = 50 * time.Millisecond
)
