package jobserver

import "time"

// Pool decides what the worker does with the pipe of one job. It counts; the bytes are in the pipe.
//
//	           a trial lay unread
//	asking  ---------------------->  idle   (its pause; or a standing offer lies in the pipe)
//	   ^                              |
//	   '------------------------------'
//	     the pause is over, or somebody read or returned a token
type Pool struct {
	unread   int  // bytes in the pipe, as far as known
	standing int  // of them, those that may stay unread
	idle     bool // nobody seems to want any
	got      int  // tokens that came from home, ever
	told     News // what the home knows

	since time.Time // when somebody last read or wrote
	pause time.Duration
	again time.Time // when an idle pool asks again
}

// News is what a worker tells the home of a pool. Got says which offers it knew of: what it says of asking and standing is outdated where more
// are on their way.
type News struct {
	Ask           bool
	Got, Standing int
}

// NewPool returns the pool of a job whose pipe is open to somebody from now on: it asks.
func NewPool() *Pool { return &Pool{pause: firstPause} }

// Look tells how many bytes are in the pipe now: what has changed since the last look, the job has done.
func (p *Pool) Look(now time.Time, unread int) {
	if unread == p.unread {
		return
	}
	p.since, p.pause = now, firstPause
	if unread < p.unread || p.standing == 0 {
		p.idle = false
	}
	p.unread, p.standing = unread, min(p.standing, unread)
}

// Offered tells that n bytes from home were put into the pipe, of which some may stay there unread.
func (p *Pool) Offered(now time.Time, n, standing int) {
	p.got += n
	p.unread += n
	p.standing += standing
	p.told.Ask = false // the home takes it so, too
	p.since = now
}

// Back is how many bytes are to be taken out of the pipe and sent home now.
func (p *Pool) Back(now time.Time) int {
	if n := p.unread - p.standing; n > 0 && now.Sub(p.since) >= grace {
		return n
	}
	return 0
}

// Returned tells that n bytes were sent home because of Back.
func (p *Pool) Returned(now time.Time, n int) {
	p.unread -= n
	p.rest(now)
	p.pause = min(2*p.pause, lastPause)
}

// Recalled tells that the pipe was emptied because the home wants its tokens back.
func (p *Pool) Recalled(now time.Time) {
	p.unread, p.standing = 0, 0
	p.rest(now)
}

func (p *Pool) rest(now time.Time) {
	p.idle, p.again = true, now.Add(p.pause)
}

// News says what the home is to know, and whether it does not know it yet; then it is told.
func (p *Pool) News(now time.Time) (n News, fresh bool) {
	if p.idle && p.unread == 0 && !now.Before(p.again) {
		p.idle = false
	}
	n = News{Ask: !p.idle && p.unread == 0, Got: p.got, Standing: p.standing}
	fresh = n.Ask != p.told.Ask || n.Standing != p.told.Standing
	p.told = n
	return n, fresh
}

// Wake is when to come again if nothing happens, zero for never.
func (p *Pool) Wake() time.Time {
	switch {
	case p.unread > p.standing:
		return p.since.Add(grace)
	case p.idle && p.unread == 0:
		return p.again
	}
	return time.Time{}
}
