package daemon

import (
	"bytes"
	"context"
	"fmt"
	"syscall"
	"time"

	"mexec"
	"mexec/internal/link"
	"mexec/internal/place"
	"mexec/internal/policy"
	"mexec/internal/repeat"
	"mexec/internal/wire"
	"mexec/internal/wire/mexecpb"
)

// A job whose node was lost and that may run again, in the order in which it happens: note, again, rerun.
//
// Two runs never overlap. Until the lost one is dead the stub is told nothing: it takes its job for sent, and if it loses us now it reports a
// loss. To say WAITING at once was refused: it would then run the command beside the lost run.

// note remembers of what the worker says what forbids a second run, and how much the job wrote.
func (r *remote) note(down *mexecpb.Down) {
	wrote := len(down.Out) + len(down.Err)
	r.output += int64(wrote + len(down.Screen))
	r.shown = r.shown || wrote > 0
	if d := down.Data; d != nil {
		r.output += int64(len(d.Bytes))
		r.shown = r.shown || len(d.Bytes) > 0
		r.closed = r.closed || d.Eof || d.Closed
	}
	r.halted = down.Stopped != 0 || r.halted && !down.Continued
}

// again says whether a job that node was lost with runs again, and why or why not. It ends what is relayed.
func (r *remote) again(node mexec.NodeID) (why string, again bool) {
	r.lostBy = append(r.lostBy, node)
	streams := r.streams
	r.close() // from here on nothing is read any more
	return r.verdict(len(r.lostBy), streams)
}

// verdict says whether a job may run again of which so many runs came to nothing, with this one.
func (r *remote) verdict(count int, streams map[uint32]*stream) (why string, again bool) {
	e := r.exec
	mode := repeat.Never
	switch {
	case e.Flags&wire.RerunAlways != 0:
		mode = repeat.Always
	case e.Flags&wire.RerunSafe != 0:
		mode = repeat.Safe
	default:
		return "", false
	}
	run := repeat.Run{
		Count: count, Terminal: r.screen != nil,
		Input: r.read > 0, Closed: r.closed, Stopped: r.halted, Output: r.shown,
	}
	for _, s := range streams {
		run.Input = run.Input || s.read > 0
	}
	r.mu.Lock()
	run.Signals = r.told
	r.mu.Unlock()
	list := string(e.Repeat)
	return mode.Again(run, repeat.Command{
		Path: string(e.Path), Argv: texts(e.Argv), Env: texts(e.Env),
		Named: func(name string) bool { return policy.InList(list, name) },
	})
}

// texts splits strings that each end in NUL.
func texts(b []byte) (list []string) {
	for s := range bytes.SplitSeq(bytes.TrimSuffix(b, []byte{0}), []byte{0}) {
		list = append(list, string(s))
	}
	return list
}

const (
	// margin is added to the time after which a worker that hears nothing has killed its jobs: its clock's and the network's share, and what the
	// kernel takes.
	margin = 2 * time.Second

	// dying is how long a job's tree may take to be gone after the word that kills it.
	dying = time.Second
)

// rerun waits until the run that was lost with l is dead, and puts the job back among those that wait. false: the caller has gone.
func (c *caller) rerun(l *link.Link, lost *mexec.LostError, why string) bool {
	c.enter(placing)
	c.d.placer.missing(c.line, fmt.Sprintf("%s was lost (%v): runs again: %s", lost.Node, lost.Cause, why))
	if !c.d.outlived(c.ctx, l, lost.Node) {
		signal := syscall.SIGKILL
		if c.killed != 0 {
			signal = c.killed
			c.conn.Write(wire.AppendNumber(nil, wire.Killed, uint32(c.killed)))
		}
		c.d.placer.outcome(c.line, mexec.Status{Signal: signal}, mexec.Usage{})
		c.d.placer.ended(c.line, place.Renewal{})
		return false
	}
	c.d.log.Info(fmt.Sprintf("%s: runs again: %s", c.line.Command, why))
	c.d.placer.again(c.line, c.wish, c.lostBy)
	return true
}

// outlived waits until nothing lives that ran on a link that was lost (link/successor.go). false: ctx has ended before.
func (d *Daemon) outlived(ctx context.Context, l *link.Link, node mexec.NodeID) bool {
	bound, stop := context.WithTimeout(ctx, l.Life()+margin)
	defer stop()
	if d.pool.Successor(bound, l, d.placer.addr(node)) {
		select {
		case <-time.After(dying):
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}
