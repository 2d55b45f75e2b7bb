package link

import (
	"sync"
	"time"
)

// patience is how long a piece of output waits for those before it. They are here already, as all come over one connection, but for what a flow control
// holds up, and for those that a reader of another job's output blocks.
const patience = 5 * time.Millisecond

// Turns lets the goroutines of several jobs write in the order of the numbers that their worker has given to what they have. The
// goroutines of several streams run in no order when their messages come together. The zero value is ready.
type Turns struct {
	mu      sync.Mutex
	done    uint64                   // all up to here have written, or were given up
	waiting map[uint64]chan struct{} // by the number waited for
}

// Do calls write when those before order have written, or have let it wait for too long. 0 is not in the order.
func (t *Turns) Do(order uint64, write func()) {
	if order == 0 {
		write()
		return
	}
	t.wait(order - 1)
	write()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = max(t.done, order)
	for n, c := range t.waiting {
		if n <= t.done {
			close(c)
			delete(t.waiting, n)
		}
	}
}

func (t *Turns) wait(before uint64) {
	t.mu.Lock()
	if t.done >= before {
		t.mu.Unlock()
		return
	}
	if t.waiting == nil {
		t.waiting = make(map[uint64]chan struct{})
	}
	c := t.waiting[before]
	if c == nil {
		c = make(chan struct{})
		t.waiting[before] = c
	}
	t.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
	}
}
