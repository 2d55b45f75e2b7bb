package jobserver

import (
	"bytes"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Own is a jobserver that we own and that a tool is a client of, as a nested make is of the make above it. Its methods are for any goroutine.
type Own struct {
	pipe *Pipe
	auth string
	ends [2]int // of a pipe, for the tool; -1: closed
	kick chan struct{}
	over sync.WaitGroup

	mu   sync.Mutex // guards the rest
	book Elastic
	done bool
}

// NewOwn makes a jobserver without tokens: a fifo at a path that must need no quoting, or where that is empty a pipe. A pipe's ends are inherited by whatever this
// process executes, by their own numbers, until Started: so they are in nobody's way who was given others by number.
func NewOwn(fifo string) (o *Own, err error) {
	o = &Own{ends: [2]int{-1, -1}, kick: make(chan struct{}, 1)}
	if fifo != "" {
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			return nil, fmt.Errorf("jobserver %s: %w", fifo, err)
		}
		o.auth = "fifo:" + fifo
		fd, err := unix.Open(fifo, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("jobserver %s: %w", fifo, err)
		}
		defer unix.Close(fd)
		o.pipe, err = anew(fd)
		if err != nil {
			return nil, err
		}
	} else {
		if err := unix.Pipe2(o.ends[:], 0); err != nil {
			return nil, fmt.Errorf("jobserver: %w", err)
		}
		o.auth = fmt.Sprintf("%d,%d", o.ends[0], o.ends[1])
		if o.pipe, err = anew(o.ends[0]); err != nil {
			o.Started()
			return nil, err
		}
	}
	o.over.Go(o.collect)
	return o, nil
}

// Auth is what --jobserver-auth= says of it.
func (o *Own) Auth() string { return o.auth }

// Started tells that the tool has what it inherits.
func (o *Own) Started() {
	for i, fd := range o.ends {
		if fd >= 0 {
			unix.Close(fd)
			o.ends[i] = -1
		}
	}
}

// Aim lets so many jobs be under way.
func (o *Own) Aim(jobs int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.write(o.book.Aim(jobs))
	o.take()
	if o.book.Debt() > 0 {
		poke(o.kick)
	}
}

// Held is how many tokens are not in the pipe, and whether none is there.
func (o *Own) Held() (held int, empty bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.take() // what came back though it was lost
	free := o.pipe.Free()
	return o.book.Held(free), free == 0
}

// Lost writes n tokens anew.
func (o *Own) Lost(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.write(o.book.Lost(n))
}

// write and take are for who holds the lock.
func (o *Own) write(n int) { o.pipe.Put(bytes.Repeat([]byte("+"), n)) }

func (o *Own) take() {
	free := o.pipe.Free()
	if n := o.book.Surplus(free); n > 0 {
		o.book.Took(len(o.pipe.Take(n)), free)
	}
}

// collect takes what comes back while there are debts.
func (o *Own) collect() {
	for range o.kick {
		for {
			o.mu.Lock()
			o.take()
			rest := !o.done && o.book.Debt() > 0
			o.mu.Unlock()
			if !rest || o.pipe.Wait() != nil {
				break
			}
		}
	}
}

// Close ends it when the tool is gone, and returns how many tokens it has not given back.
func (o *Own) Close() (missing int) {
	o.mu.Lock()
	o.done = true
	o.mu.Unlock()
	o.pipe.Wake()
	close(o.kick)
	o.over.Wait()
	missing = o.book.Held(o.pipe.Free())
	o.Started()
	o.pipe.Close()
	return missing
}
