package owner

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var t0 = time.Unix(1_000_000, 0)

// phase is some seconds in which the owner keeps so many CPUs busy.
type phase struct {
	seconds int
	foreign float64
	own     int // commands of mexec's, here
	guests  float64
}

// play samples each second, and lists the limits as they change, with the seconds at which they do.
func play(c Config, phases ...phase) (o *Owner, changes string) {
	o = New(c)
	s := Sample{At: t0}
	o.See(s)
	was, now := o.Limit(), 0
	for _, p := range phases {
		for range p.seconds {
			now++
			s.At = s.At.Add(time.Second)
			s.Busy += time.Duration((p.foreign + float64(p.own) + p.guests) * float64(time.Second))
			s.Guests += time.Duration(p.guests * float64(time.Second))
			s.Own = p.own
			o.See(s)
			if o.Limit() != was {
				was = o.Limit()
				changes += fmt.Sprintf(" %ds:%d", now, was)
			}
		}
	}
	return o, changes
}

func TestOthersGetWhatTheOwnerLeaves(t *testing.T) {
	four := Config{Slots: 4, CPUs: 4, Floor: 1}
	for _, c := range []struct {
		what    string
		config  Config
		phases  []phase
		changes string
		why     string
	}{
		{"an idle machine", four, []phase{{60, 0, 0, 0}}, "", ""},
		{"what a machine does for itself", four, []phase{{60, 0.4, 0, 0}}, "", ""},
		{"guests are not the owner", four, []phase{{60, 0, 0, 4}}, "", ""},
		{"nor are the commands that have slots here", four, []phase{{60, 0, 4, 0}}, "", ""},
		{"one CPU", four, []phase{{60, 1, 0, 3}}, " 3s:3", "owner: 1 of 4 CPUs busy"},
		{"three", four, []phase{{60, 3, 0, 1}}, " 1s:3 3s:2 6s:1", "owner: 3 of 4 CPUs busy"},
		{"all, down to the floor", four, []phase{{60, 4, 0, 0}}, " 1s:3 2s:2 3s:1", "owner: 4 of 4 CPUs busy"},
		{"all, and no floor", Config{Slots: 4, CPUs: 4}, []phase{{60, 4, 0, 0}}, " 1s:3 2s:2 3s:1 7s:0", "owner: 4 of 4 CPUs busy"},
		{"it ends: back after some calm", four, []phase{{20, 3, 0, 0}, {30, 0, 0, 0}}, " 1s:3 3s:2 6s:1 26s:2 32s:4", ""},
		{"pauses shorter than that change nothing", four, []phase{{20, 3, 0, 0}, {3, 0, 0, 0}, {3, 3, 0, 0}, {3, 0, 0, 0}, {3, 3, 0, 0}}, " 1s:3 3s:2 6s:1", "owner: 2 of 4 CPUs busy"},
		{"fewer slots than CPUs", Config{Slots: 2, CPUs: 8}, []phase{{60, 5, 0, 0}}, "", ""},
		{"and then they are short", Config{Slots: 2, CPUs: 8}, []phase{{60, 7, 0, 0}}, " 8s:1", "owner: 7 of 8 CPUs busy"},
		{"more slots than CPUs", Config{Slots: 8, CPUs: 4}, []phase{{60, 2, 0, 0}}, " 1s:7 2s:6 3s:5 7s:4", "owner: 2 of 4 CPUs busy"},
		{"a floor of all", Config{Slots: 4, CPUs: 4, Floor: 9}, []phase{{60, 4, 0, 0}}, "", ""},
	} {
		o, changes := play(c.config, c.phases...)
		if changes != c.changes || o.Why() != c.why {
			t.Errorf("%s: limits%s, want%s; %q", c.what, changes, c.changes, o.Why())
		}
	}
}

// A load that is just at a border may not make the limit swing.
func TestALoadAtABorderDoesNotSwing(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var phases []phase
		for range 300 {
			phases = append(phases, phase{1, 1.5 + r.NormFloat64()*0.2, 0, 0})
		}
		_, changes := play(Config{Slots: 4, CPUs: 4}, phases...)
		n := 0
		for _, c := range changes {
			if c == ':' {
				n++
			}
		}
		if n > 6 {
			t.Errorf("seed %d: %d changes in 5 minutes:%s", seed, n, changes)
		}
	}
}

func TestAnyHistoryStaysWithinFloorAndSlots(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		c := Config{Slots: 1 + r.IntN(9), CPUs: r.IntN(9), Floor: r.IntN(12) - 1}
		o := New(c)
		s := Sample{At: t0}
		for range 200 {
			s.At = s.At.Add(time.Duration(r.IntN(3000)-200) * time.Millisecond) // a clock may be set back
			s.Busy += time.Duration(r.IntN(20000)-1000) * time.Millisecond      // and a counter be smaller
			s.Guests += time.Duration(r.IntN(5000)) * time.Millisecond
			s.Own = r.IntN(5)
			o.See(s)
			if l := o.Limit(); l < min(max(0, c.Floor), c.Slots) || l > c.Slots || (o.Why() == "") != (l == c.Slots) {
				t.Fatalf("seed %d: %+v: limit %d, %q", seed, c, l, o.Why())
			}
		}
	}
}
