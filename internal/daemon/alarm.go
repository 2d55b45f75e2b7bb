package daemon

import (
	"time"

	"mexec/internal/pulse"
)

// When placement looks at its jobs though nothing has happened: ten times a second while anything waits or is held unused, or a build of a cluster is watched, whose room others
// change; once a second otherwise, and when a queue is due to ask for more.

// tick says when the next one is due, if stir is not sent to before.
func (p *placer) tick() time.Duration {
	p.with(func(now time.Time) {
		p.slots.Tick(now)
		p.home.Tick(now)
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calm = p.calmLocked(); p.calm {
		return pulse.Next(time.Second)
	}
	return pulse.Next(100 * time.Millisecond)
}

// stirLocked has the next tick come soon where it no longer may be far.
func (p *placer) stirLocked() {
	if p.calm && !p.calmLocked() {
		p.calm = false
		select {
		case p.stir <- struct{}{}:
		default:
		}
	}
}

func (p *placer) calmLocked() bool {
	return p.home.Calm() && p.slots.Calm() && (p.watchers == nil || p.pool == nil)
}

// alarmLocked has home look again when it wants to: between two ticks a job would wait for what nobody has.
func (p *placer) alarmLocked(now time.Time) {
	due := p.home.Due()
	if due.IsZero() || p.quiet || !p.rings.IsZero() && !due.Before(p.rings) {
		return
	}
	p.rings = due
	if p.alarm == nil {
		p.alarm = time.AfterFunc(due.Sub(now), p.retry)
	} else {
		p.alarm.Reset(due.Sub(now))
	}
}

func (p *placer) retry() {
	p.with(func(now time.Time) {
		p.rings = time.Time{}
		p.home.Retry(now)
	})
}

// rest has no alarm ring any more.
func (p *placer) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.alarm != nil {
		p.alarm.Stop()
	}
	p.quiet = true
}
