package daemon

import (
	"fmt"
	"sync"
	"syscall"
	"time"

	"mexec"
	"mexec/internal/wire"
	"mexec/internal/wire/mexecpb"
)

// A straggler, with --rerun=slow: a job that takes far longer on its node than it should, while others could have it (place/straggler.go), and that may run
// again. It is ended there, and when it is over, begun anew elsewhere.
//
// To let two runs race was refused: they would write one file, and the one that is ended last may leave it half written. So nothing is gained where the first run
// would have ended soon; that is why it must be so late.

// stragglers are the runs that may become some.
type stragglers struct {
	mu   sync.Mutex
	runs map[*remote]bool
}

// straggler is what becomes of one run. A run that is being ended shows and takes nothing any more: what it does is not to be seen twice.
type straggler struct {
	mu     sync.Mutex // held while the run's output is noted
	ending string     // why; empty: it is not
	over   bool
}

// finish says why the run was being ended, if it was, when nothing more is heard of it.
func (s *straggler) finish() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	return s.ending
}

// watch enters a run for as long as it lasts.
func (s *stragglers) watch(r *remote) (over func()) {
	if r.exec.Flags&wire.RerunSlow == 0 {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs == nil {
		s.runs = map[*remote]bool{}
	}
	s.runs[r] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.runs, r)
	}
}

// endStragglers ends those that have become stragglers.
func (d *Daemon) endStragglers() {
	d.slow.mu.Lock()
	var late []*remote
	for r := range d.slow.runs {
		if d.placer.straggles(r.line.ID) {
			late = append(late, r)
		}
	}
	d.slow.mu.Unlock()
	for _, r := range late {
		r.end()
	}
}

// end ends a run, if a second one can't be told from it.
func (r *remote) end() {
	r.slow.mu.Lock()
	defer r.slow.mu.Unlock()
	if r.slow.over || r.slow.ending != "" || r.screen != nil || len(r.streams) > 0 {
		return
	}
	if r.source != nil {
		select {
		case <-r.stopped: // its input was empty, or it has read of it
		default:
			return
		}
	}
	if _, again := r.verdict(len(r.lostBy)+1, nil); !again {
		return
	}
	r.slow.ending = fmt.Sprintf("%v, %v is usual", r.d.now().Sub(r.began).Round(100*time.Millisecond), r.wish.Cost.Wall.Round(100*time.Millisecond))
	// Beside us: who reads too slowly must not hold up this node's clock.
	r.d.wg.Go(func() { r.send(&mexecpb.Up{Signal: &mexecpb.Signal{Number: uint32(syscall.SIGKILL)}}) })
}

// hears notes what the worker says. Of a run that is being ended nothing is left to be shown.
func (r *remote) hears(down *mexecpb.Down) {
	r.slow.mu.Lock()
	defer r.slow.mu.Unlock()
	if r.slow.ending == "" {
		r.note(down)
		return
	}
	down.Out, down.Err, down.Data, down.Credit = nil, nil, nil, 0
}

// anew puts the job of a run that was ended back among those that wait. false: it was sent a signal meanwhile, or something of it could not be killed, and is over.
func (r *remote) anew(node mexec.NodeID, slow string, end *mexecpb.End) bool {
	c := r.caller
	why, again := r.again(node)
	if !again || end.Left {
		c.d.placer.outcome(c.line, mexec.Status{Signal: syscall.SIGKILL}, mexec.Usage{})
		c.conn.Write(wire.AppendNumber(nil, wire.Killed, uint32(syscall.SIGKILL)))
		c.d.placer.ended(c.line, renewal(end))
		return false
	}
	c.enter(placing)
	c.d.log.Info(fmt.Sprintf("%s: %s was slow with it (%s): runs again: %s", c.line.Command, node, slow, why))
	c.d.placer.anew(c.line, fmt.Sprintf("%s was slow (%s): runs again: %s", node, slow, why), c.wish, c.lostBy, renewal(end))
	return true
}
