package link

import (
	"sync"
	"time"

	"mexec/internal/wire/mexecpb"
)

// clock measures how far the other node's clock is from ours, as NTP does: each beat carries when it was sent, and echoes the last
// one heard with the time it arrived. Of the last eight samples the one with the shortest way is believed, since what a packet
// waited for on the way is what makes a sample wrong.
type clock struct {
	now func() time.Time

	mu      sync.Mutex
	echo    int64 // sent time of the last beat heard
	heard   int64 // when, by our clock
	samples [8]sample
	count   int
}

type sample struct{ offset, trip time.Duration }

// beat makes the next beat to send.
func (c *clock) beat() *mexecpb.Beat {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &mexecpb.Beat{Sent: c.now().UnixNano(), Echo: c.echo, EchoReceived: c.heard}
}

// hear enters a beat that arrived.
func (c *clock) hear(b *mexecpb.Beat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = c.now().UnixNano()
	c.echo = b.GetSent()
	if b.GetEcho() == 0 {
		return
	}
	there := time.Duration(b.EchoReceived - b.Echo)
	back := time.Duration(b.Sent - c.heard)
	s := sample{offset: (there + back) / 2, trip: time.Duration(c.heard-b.Echo) - time.Duration(b.Sent-b.EchoReceived)}
	c.samples[c.count%len(c.samples)] = s
	c.count++
}

// offset is the other clock minus ours; false before the first whole sample.
func (c *clock) offset() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == 0 {
		return 0, false
	}
	best := c.samples[0]
	for _, s := range c.samples[1:min(c.count, len(c.samples))] {
		if s.trip < best.trip {
			best = s
		}
	}
	return best.offset, true
}
