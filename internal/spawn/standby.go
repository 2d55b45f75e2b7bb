package spawn

import (
	"sync"
	"time"
)

const (
	// mostReady is how many stages stand by: as many commands as may come, one after the other, before the next ones are made.
	mostReady = 8
	// rest is how long a start is left alone. A stage that is woken up stands behind whoever wakes it, on the same CPU: to fork the
	// next one right away, which is what this pause replaces, kept the job's program waiting for it.
	rest = time.Millisecond
)

// standby keeps a few stages that are forked and wait for their frame, so that a job that comes alone does not wait for
// a fork. They are made some time behind the starts that take them, together; jobs
// that come faster than that fork their own, and cost what they would without.
type standby struct {
	spawner *Spawner

	mu      sync.Mutex // guards the rest
	ready   []*Process
	filling bool
	closed  bool
	filler  sync.WaitGroup
}

// take returns a stage that waits, or nil.
func (b *standby) take() *Process {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.ready)
	if n == 0 {
		return nil
	}
	p := b.ready[n-1]
	b.ready = b.ready[:n-1]
	return p
}

// fill lets missing ones be made, and does not wait for that.
func (b *standby) fill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.filling || b.closed || len(b.ready) >= mostReady {
		return
	}
	b.filling = true
	b.filler.Add(1)
	time.AfterFunc(rest, func() {
		defer b.filler.Done()
		for b.add() {
		}
	})
}

// add makes one more. A fork that fails will fail the next start too, which has somebody to tell.
func (b *standby) add() bool {
	p, err := b.spawner.fork()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.ready = append(b.ready, p)
	}
	b.filling = err == nil && !b.closed && len(b.ready) < mostReady
	return b.filling
}

// close ends those that wait.
func (b *standby) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.filler.Wait()
	for p := b.take(); p != nil; p = b.take() {
		p.Kill()
		p.end()
	}
}
