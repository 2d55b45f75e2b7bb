package daemon

import (
	"context"
	"sync"
)

// credit is how much may be sent before more is given. It adds up: whoever gives it in small pieces is never lost one.
type credit struct {
	mu   sync.Mutex // guards left
	left int
	news chan struct{} // holds one
}

func newCredit(n int) *credit { return &credit{left: n, news: make(chan struct{}, 1)} }

// give adds to it.
func (c *credit) give(n int) {
	c.mu.Lock()
	c.left += n
	c.mu.Unlock()
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// wait returns how much may be sent, once it is anything. false: ctx has ended.
func (c *credit) wait(ctx context.Context) (int, bool) {
	for {
		c.mu.Lock()
		left := c.left
		c.mu.Unlock()
		if left > 0 {
			return left, true
		}
		select {
		case <-c.news:
		case <-ctx.Done():
			return 0, false
		}
	}
}

// spend takes from it what was sent. One goroutine waits and spends.
func (c *credit) spend(n int) {
	c.mu.Lock()
	c.left -= n
	c.mu.Unlock()
}
