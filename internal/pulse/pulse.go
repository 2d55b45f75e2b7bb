// Package pulse has what a process does by the clock, again and again, happen at the same moments: each time that it wakes up alone, Go's scheduler and the kernel take
// longer for that than most of what it then has to do. On a small host, of which jobs want all, a daemon of a dozen clocks would take a noticeable part of it.
//
// The moments of one period are among those of each that it is a multiple of. They are not those of other processes. Do not assume anything of the
// first: it comes at once, or a period from now, or any time between.
package pulse

import "time"

// began is when the moments of all periods fell together, by the clock that nobody sets: after a timer that was set by Next, Next gives a whole period and not what
// the timer was too early by.
var began = time.Now()

// Clock is a timer that fires at the moments of a period: at the first, and at the next each time that Again is called.
type Clock struct {
	*time.Timer
	period time.Duration
}

// Every is a clock of a period. Stop ends it.
func Every(period time.Duration) Clock { return Clock{time.NewTimer(Next(period)), period} }

// Again is called when it has fired.
func (c Clock) Again() { c.Reset(Next(c.period)) }

// Next is how long it is to the next moment of a period, by which a timer is set: more than nothing, a period at most.
func Next(period time.Duration) time.Duration { return next(time.Since(began), period) }

func next(age, period time.Duration) time.Duration {
	past := age % period
	if past < 0 { // in the virtual time of a test
		past += period
	}
	return period - past
}
