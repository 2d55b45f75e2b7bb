package jobserver

import (
	"sync"
	"time"
)

// Nest is what one job has for its caller's jobserver. Until somebody opens it nothing runs for it, and the home hears nothing.
type Nest struct {
	nests *Nests
	well  *well

	// Guarded by the lock of nests.
	send  func(News, []byte) error // nil: not served yet
	alive bool                     // its goroutine runs

	kick chan struct{}
	done chan struct{}
	over sync.WaitGroup

	mu    sync.Mutex
	offer Offer // what came from home and is not in the pipe yet
}

// Path is that of a fifo, empty for a pipe.
func (n *Nest) Path() string { return n.well.path }

// Serve begins to tell the home of the job's wishes, where somebody has opened the nest and from when on somebody does. send is called by one
// goroutine, and not after Close.
func (n *Nest) Serve(send func(n News, back []byte) error) {
	n.nests.mu.Lock()
	defer n.nests.mu.Unlock()
	n.send = send
	n.live()
}

func (n *Nest) live() {
	if n.well.opened && n.send != nil && !n.alive {
		n.alive = true
		send := n.send
		n.over.Go(func() { n.run(send) })
	}
}

// Offer takes what comes from home.
func (n *Nest) Offer(o Offer) {
	n.mu.Lock()
	n.offer.Tokens = append(n.offer.Tokens, o.Tokens...)
	n.offer.Standing += o.Standing
	n.offer.Recall = n.offer.Recall || o.Recall
	n.mu.Unlock()
	poke(n.kick)
}

func (n *Nest) run(send func(News, []byte) error) {
	pool := NewPool()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		back, recalled := n.turn(pool)
		if news, fresh := pool.News(time.Now()); fresh || recalled || len(back) > 0 {
			if send(news, back) != nil {
				return // the job is being ended
			}
		}
		var late <-chan time.Time
		if wake := pool.Wake(); !wake.IsZero() {
			timer.Reset(time.Until(wake))
			late = timer.C
		}
		select {
		case <-n.kick:
		case <-late:
		case <-n.done:
			return
		}
	}
}

// turn does everything that is to be done with the pipe now, and returns what goes home.
func (n *Nest) turn(pool *Pool) (back []byte, recalled bool) {
	n.mu.Lock()
	offer := n.offer
	n.offer = Offer{}
	n.mu.Unlock()
	now := time.Now()
	pool.Look(now, n.well.pipe.Free())
	if k := len(offer.Tokens); k > 0 {
		n.well.pipe.Put(offer.Tokens)
		pool.Offered(now, k, min(k, offer.Standing))
		pool.Look(now, n.well.pipe.Free())
	}
	if offer.Recall {
		back = n.well.pipe.Take(pipeful)
		pool.Recalled(now)
		return back, true
	}
	if k := pool.Back(now); k > 0 {
		back = n.well.pipe.Take(k)
		pool.Returned(now, len(back))
	}
	return back, false
}

// Close ends the nest. Every process of the job is gone by now. What is still in the pipe stands in the home's book.
func (n *Nest) Close() {
	n.nests.mu.Lock()
	n.send = nil
	n.nests.mu.Unlock()
	close(n.done)
	n.over.Wait()
	n.nests.leave(n.well)
}
