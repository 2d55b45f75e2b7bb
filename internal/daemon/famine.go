package daemon

import (
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"mexec"
	"mexec/internal/link"
	"mexec/internal/place"
	"mexec/internal/relay"
	"mexec/internal/wire/mexecpb"
)

// A job of which the kernel has killed some for want of memory, at its home. What it had is known by now (costs.go), so that the next one
// like it has more held for it. Where it may run again it does, by the rules of a job whose node was lost; else its caller is told what happened, beside the status.

// starved says whether such a job runs again. If so it waits for a slot once more.
func (r *remote) starved(node mexec.NodeID, end *mexecpb.End) bool {
	if !end.OutOfMemory {
		return false
	}
	r.learn(node, end) // before it waits again, with the cost that is known then
	why, again := r.again(node)
	line := starvation(string(r.exec.Path), node, end)
	if !again || end.Left {
		if why != "" {
			line += "; not run again: " + why
		}
		r.d.log.Info(line)
		r.tell(line)
		return false
	}
	r.d.log.Info(line + "; runs again: " + why)
	r.wish.Cost = r.d.costs.of(r.key)
	r.enter(placing)
	r.d.placer.anew(r.line, line+": runs again: "+why, r.wish, r.lostBy, renewal(end))
	return true
}

// renewal is the grant that comes with the news of an end.
func renewal(end *mexecpb.End) place.Renewal {
	return place.Renewal{
		Grant: place.Grant(end.Grant), Memory: link.Bytes(end.GrantMemory), Lease: min(time.Duration(end.LeaseMs)*time.Millisecond, place.Lease),
	}
}

// starvation words it: by the program's name, for a caller has many.
func starvation(path string, node mexec.NodeID, end *mexecpb.End) string {
	what := "killed"
	if syscall.Signal(end.Signal) != syscall.SIGKILL {
		what = "something that it has started was killed"
	}
	at := ""
	if kb := max(end.PeakKb, end.MaxRssKb); kb > 0 {
		at = " at " + size(link.Bytes(kb)<<10)
	}
	return fmt.Sprintf("%s: %s on %s: out of memory%s", filepath.Base(path), what, node, at)
}

// tell writes a line to the caller's stderr.
func (c *caller) tell(line string) {
	if c.fds[2] < 0 {
		return
	}
	s := relay.NewSink(c.fds[2])
	defer s.Close()
	s.Write(c.ctx, []byte("mexec: "+line+"\n"))
}
