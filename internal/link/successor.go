package link

import (
	"context"
	"time"

	"mexec/internal/wire/mexecpb"
)

// How long a run may live on whose link was lost, and how home knows that it is dead.
//
// When a job's stream has failed, our end of the connection is closed or the stream cancelled, and nothing is sent on it any more (SetLinger): the last
// that the worker can have heard of us is as old as that. It ends the link when it has heard nothing for its own keep-alive time (Life), and kills
// what ran on it. It does so at once when it hears of a new link of ours, or was started anew, and a new link that stands says that it has.

// retry is how long a node is left alone that could not be reached.
const retry = 3 * time.Second

// glance is how often the links are looked at.
const glance = 100 * time.Millisecond

// Life is after how much silence the worker ends the link.
func (l *Link) Life() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.life
}

func (l *Link) stands(hello *mexecpb.Hello) {
	if ms := hello.KeepaliveMs; ms > 0 {
		l.mu.Lock()
		l.life = time.Duration(ms) * time.Millisecond
		l.mu.Unlock()
	}
	close(l.up)
}

// Successor waits until a link to the same node stands that was made after l, and now and then tries to make one. false: ctx has ended before.
func (p *Pool) Successor(ctx context.Context, l *Link, addr string) bool {
	look := time.NewTicker(glance)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return false
		}
		next := p.next(l, addr)
		if next == nil {
			continue
		}
		select {
		case <-next.up:
			return true
		case <-next.down:
			select {
			case <-next.up:
				return true
			default:
			}
		case <-ctx.Done():
			return false
		}
	}
}

// next is the link that came after l, nil where none did.
func (p *Pool) next(l *Link, addr string) *Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links[l.node] == nil && addr != "" && p.ctx.Err() == nil && time.Since(p.tried[l.node]) > retry {
		p.tried[l.node] = time.Now()
		p.dialLocked(l.node, addr)
	}
	if next := p.links[l.node]; next != l {
		return next
	}
	return nil
}
