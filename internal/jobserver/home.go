package jobserver

import (
	"sync"
	"time"
)

// Home lends the tokens of the jobservers that callers of this node have. One goroutine serves one jobserver, whatever the number of jobs that
// borrow from it, so that they do not take from each other what the make at home left.
type Home struct {
	mu       sync.Mutex // guards lendings, and who is the first and the last to borrow from one
	lendings map[identity]*lending
	wg       sync.WaitGroup
}

// lending is one jobserver from its first borrower to its last.
type lending struct {
	pipe *Pipe
	done chan struct{}
	kick chan struct{} // something has changed
	arm  chan struct{} // wanted: a kick when the pipe has a token

	mu    sync.Mutex // guards the book, and that it and the pipe agree
	book  Lender
	loans map[*Borrower]*Loan
}

// Offer is what a home tells a worker: tokens for the job's pipe, how many of them may stay there unread, and whether what is unread after that is
// to come back.
type Offer struct {
	Tokens   []byte
	Standing int
	Recall   bool
}

// Loan is what one job borrows.
type Loan struct {
	home     *Home
	lending  *lending
	borrower *Borrower
	offer    Offer // not sent yet; guarded by the lending's lock
	wake     chan struct{}
	sent     chan struct{} // closed when nothing is sent any more
}

// NewHome returns a home where nobody borrows.
func NewHome() *Home { return &Home{lendings: map[identity]*lending{}} }

// Close waits until every loan that was closed has let go of its pipe.
func (h *Home) Close() { h.wg.Wait() }

// Borrow opens a loan from the jobserver of p, which is the home's from now on. send takes offers to the job's worker, one at a time; it may block, and
// what it says does not matter: a job that can't be reached is about to be over.
func (h *Home) Borrow(p *Pipe, send func(Offer) error) *Loan {
	h.mu.Lock()
	l := h.lendings[p.id]
	if l != nil {
		p.Close()
	} else {
		l = &lending{
			pipe: p, done: make(chan struct{}), kick: make(chan struct{}, 1), arm: make(chan struct{}, 1), loans: map[*Borrower]*Loan{},
		}
		h.lendings[p.id] = l
		h.wg.Go(l.run)
	}
	o := &Loan{home: h, lending: l, wake: make(chan struct{}, 1), sent: make(chan struct{})}
	l.mu.Lock()
	o.borrower = l.book.Join()
	l.loans[o.borrower] = o
	l.mu.Unlock()
	h.mu.Unlock()
	h.wg.Go(func() { o.run(send) })
	return o
}

// Heard takes what the worker says, and puts what it gives back into the pipe.
func (o *Loan) Heard(n News, back []byte) {
	l := o.lending
	l.mu.Lock()
	l.pipe.Put(l.book.Heard(o.borrower, n, back))
	l.mu.Unlock()
	poke(l.kick)
}

// Close puts back all that the job still had. When it returns the pipe holds them. Nothing is sent after it.
func (o *Loan) Close() {
	h, l := o.home, o.lending
	h.mu.Lock()
	l.mu.Lock()
	l.pipe.Put(l.book.Gone(o.borrower))
	delete(l.loans, o.borrower)
	over := l.book.Empty()
	if over {
		delete(h.lendings, l.pipe.id)
	}
	l.mu.Unlock()
	if over {
		close(l.done)
	}
	h.mu.Unlock()
	close(o.wake)
	<-o.sent
}

// run sends what there is to be sent. It is not the lending's own goroutine that does: one stream that is stuck must not hold up the others.
func (o *Loan) run(send func(Offer) error) {
	defer close(o.sent)
	for range o.wake {
		o.lending.mu.Lock()
		offer := o.offer
		o.offer = Offer{}
		o.lending.mu.Unlock()
		send(offer)
	}
}

// run does what the book says until nobody borrows any more.
func (l *lending) run() {
	var watching sync.WaitGroup
	watching.Go(l.watch)
	timer := time.NewTimer(time.Hour)
	defer func() {
		timer.Stop()
		close(l.arm)
		l.pipe.Wake()
		watching.Wait()
		l.pipe.Close()
	}()
	for {
		m := l.turn()
		if m.Watch {
			poke(l.arm)
		}
		var late <-chan time.Time
		if !m.Wake.IsZero() {
			timer.Reset(time.Until(m.Wake))
			late = timer.C
		}
		select {
		case <-l.kick:
		case <-late:
		case <-l.done:
			return
		}
	}
}

// turn does everything that can be done now.
func (l *lending) turn() Move {
	l.mu.Lock()
	defer l.mu.Unlock()
	free := l.pipe.Free()
	for {
		m := l.book.Next(time.Now(), free)
		if m.To == nil {
			return m
		}
		o := l.loans[m.To]
		if m.Recall {
			l.book.Recalled(m.To)
			o.offer.Recall = true
		} else {
			token := l.pipe.Take(1)
			free = l.pipe.Free()
			if len(token) == 0 {
				continue // somebody was quicker
			}
			l.book.Lent(m, token[0])
			o.offer.Tokens = append(o.offer.Tokens, token[0])
			if m.Standing {
				o.offer.Standing++
			}
		}
		poke(o.wake)
	}
}

// watch kicks when the pipe has a token, once for each time that it was armed.
func (l *lending) watch() {
	for range l.arm {
		if l.pipe.Wait() != nil {
			return
		}
		poke(l.kick)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
