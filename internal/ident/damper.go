package ident

import (
	"net/netip"
	"time"
)

// damper keeps a stranger from filling the log: an address may have a few lines at once, then one each ten seconds, which
// tells how many it stands for. It is a token bucket per address, of a bounded number of addresses.
type damper struct {
	seen map[netip.Addr]*bucket
}

type bucket struct {
	level   float64 // lines that may be logged
	at      time.Time
	skipped int
}

const (
	damperBurst = 10
	damperEvery = 10 * time.Second
	damperSize  = 4096
)

// admit tells whether a line about addr may be logged now, and how many were not since the last one.
func (d *damper) admit(addr netip.Addr, now time.Time) (ok bool, skipped int) {
	b := d.seen[addr]
	if b == nil {
		if d.seen == nil {
			d.seen = make(map[netip.Addr]*bucket)
		}
		// Forgetting all is crude, but can't be made expensive: 4096 addresses get ten lines again.
		if len(d.seen) == damperSize {
			clear(d.seen)
		}
		b = &bucket{level: damperBurst, at: now}
		d.seen[addr] = b
	}
	b.level = min(damperBurst, b.level+float64(now.Sub(b.at))/float64(damperEvery))
	b.at = now
	if b.level < 1 {
		b.skipped++
		return false, 0
	}
	b.level--
	skipped, b.skipped = b.skipped, 0
	return true, skipped
}
