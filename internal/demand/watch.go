package demand

import (
	"context"
	"time"
)

const (
	soonest = time.Millisecond / 2
	latest  = 100 * time.Millisecond
)

// Watch calls look until that says that it was enough, or until ctx ends. It looks soon after its begin, after each wake and after each look that
// has found something, and then ever more rarely, since a look costs a few system calls for each thread: idle is how long it waited for this one.
func Watch(ctx context.Context, wake <-chan struct{}, look func(idle time.Duration) (found, enough bool)) {
	pause := soonest
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			pause = soonest
		case <-timer.C:
			found, enough := look(pause)
			if enough {
				return
			}
			if pause = min(2*pause, latest); found {
				pause = soonest
			}
		}
		timer.Reset(pause)
	}
}
