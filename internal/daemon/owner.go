package daemon

import (
	"fmt"
	"time"

	"mexec/internal/gauge"
	"mexec/internal/owner"
	"mexec/internal/pulse"
)

// Owner first: what this node's users do besides mexec is measured each second, and what they leave is what other homes may have (internal/owner).
// What they run by mexec has slots of its own, since it goes on in their own processes and groups: each of those is taken for a busy CPU.

// ownerLook is how often this node looks.
const ownerLook = time.Second

// watchOwner bounds what other homes may have until the daemon ends.
func (d *Daemon) watchOwner() {
	_, cpus, err := gauge.Busy()
	if err != nil {
		d.log.Error(fmt.Sprintf("owner-first: %v: all slots are for everybody", err))
		return
	}
	o := owner.New(owner.Config{Slots: d.cfg.Slots, CPUs: cpus, Floor: d.cfg.OwnerFloor})
	t := pulse.Every(ownerLook)
	defer t.Stop()
	for {
		if s, err := d.look(); err != nil {
			d.log.Debug(fmt.Sprintf("owner-first: %v", err))
		} else {
			o.See(s)
			d.placer.leave(o.Limit(), o.Why())
		}
		select {
		case <-t.C:
			t.Again()
		case <-d.ctx.Done():
			return
		}
	}
}

// look takes a sample. Where no control group holds the commands of others, each of their slots is taken for a busy CPU, as those of our own are.
func (d *Daemon) look() (s owner.Sample, err error) {
	s.At = d.now()
	if s.Busy, _, err = gauge.Busy(); err != nil {
		return s, err
	}
	_, busy, guests := d.placer.busy()
	s.Own = busy - guests
	used, ok, err := d.spawner.CPU()
	if !ok {
		s.Own = busy
	}
	s.Guests = used
	return s, err
}
