package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mexec"
	"mexec/internal/link"
	"mexec/internal/place"
	"mexec/internal/relay"
	"mexec/internal/wire"
	"mexec/internal/wire/mexecpb"
)

// away sends the job to the node of its grant and relays until it has ended. It returns false if nothing ran and the job
// waits again.
func (c *caller) away(s place.Start) bool {
	p := c.d.placer
	l, stream, err := c.d.pool.Run(c.ctx, s.Node)
	if err != nil {
		p.refused(c.line, place.RefusedGrant, err.Error())
		return false
	}
	defer func() { l.Done(c.d.now()) }()
	c.enter(sent)
	c.tellSent(s)
	p.sending(c.line)
	r := &remote{caller: c, link: l, stream: stream, sinks: c.sinks(), began: c.d.now()}
	defer r.close()
	start := r.start(s)
	err = stream.Send(&mexecpb.Up{Start: start})
	c.listen()                      // after Start is on its way: a goroutine's start is not for the command to wait for
	took := !errors.Is(err, io.EOF) // gRPC's word for a stream that had failed before it took the message
	if err == nil {
		r.attach()
		r.relayStdin(start.Stdio[0])
		r.openStreams()
	}
	over := c.d.slow.watch(r)
	c.d.pipes.enter(c.piped, r.lend)
	end, refused, err := r.receive()
	over()
	c.d.pipes.leave(c.piped)
	slow := r.slow.finish()
	r.detach()
	r.tokens.close()
	switch {
	case refused != nil:
		if refused.Why == mexecpb.Refused_ENVSETTER {
			c.fail(fmt.Sprintf("%s: %s", s.Node, refused.Detail))
			p.outcome(c.line, mexec.Status{Code: mexec.LostStatus}, mexec.Usage{})
			p.ended(c.line, place.Renewal{})
			return true
		}
		c.enter(placing)
		p.refused(c.line, reach(refused.Why), refused.Detail)
		return false
	case end != nil && slow != "":
		return !r.anew(s.Node, slow, end)
	case end != nil:
		p.outcome(c.line, mexec.Status{Code: int(end.Code), Signal: syscall.Signal(end.Signal), Core: end.Core},
			mexec.Usage{User: link.Micros(end.UserUs), System: link.Micros(end.SystemUs), MaxRSS: link.Bytes(end.MaxRssKb)})
		r.giveBack(end.StdinTaken)
		r.flushStreams()
		if r.starved(s.Node, end) {
			return false
		}
		r.restore(end.Positions)
		r.close()
		r.tellEnd(end)
		p.ended(c.line, renewal(end))
		if !end.OutOfMemory {
			r.learn(s.Node, end) // last, for nobody waits for it
		}
	case c.ctx.Err() != nil:
		p.outcome(c.line, mexec.Status{Signal: syscall.SIGKILL}, mexec.Usage{}) // the caller is gone, and the job with it
		p.ended(c.line, place.Renewal{})
	case !took:
		c.enter(placing)
		p.refused(c.line, place.RefusedJob, l.Cause(err).Error())
		return false
	default:
		if r.screen != nil {
			r.screen.restore()
		}
		lost := &mexec.LostError{Job: c.line.ID, Node: s.Node, Cause: l.Cause(err)}
		c.d.log.Warn(fmt.Sprintf("%s: %v", c.line.Command, lost))
		why, again := r.again(s.Node)
		if again {
			return !c.rerun(l, lost, why)
		}
		if why != "" {
			why = "; not run again: " + why
		}
		c.fail(fmt.Sprintf("%s: lost on %s: %v%s", c.exec.Path, s.Node, lost.Cause, why))
		p.lost(c.line, lost.Cause)
	}
	return true
}

// reach says how far a worker's refusal reaches.
func reach(why mexecpb.Refused_Why) place.Refusal {
	switch why {
	case mexecpb.Refused_NO_GRANT:
		return place.RefusedGrant
	case mexecpb.Refused_DIRECTORY:
		return place.RefusedDir
	case mexecpb.Refused_PROGRAM:
		return place.RefusedProgram
	case mexecpb.Refused_USER:
		return place.RefusedUser
	case mexecpb.Refused_EXEC, mexecpb.Refused_FILE_ALIKE:
		return place.RefusedAlike
	case mexecpb.Refused_MEMORY:
		return place.RefusedMemory
	case mexecpb.Refused_CLOCK, mexecpb.Refused_BUSY:
		return place.RefusedAll
	}
	return place.RefusedJob
}

// remote is a job on another node, as its home sees it.
type remote struct {
	*caller
	link   *link.Link
	stream mexecpb.Node_RunClient
	sinks  [3]*relay.Sink
	heard  bool
	shown  bool // its caller has seen output of it
	output int64
	unsaid error // why some of its stdout could not be written: not because the reader is gone
	closed bool  // it has closed or shut down a descriptor of its caller
	halted bool  // it is stopped
	tokens tokens
	began  time.Time
	slow   straggler
	lent   atomic.Bool // its slot

	sending sync.Mutex // a stream takes one Send at a time

	source  *relay.Source
	credit  *credit
	stop    context.CancelFunc
	stopped chan struct{}
	read    int64 // of stdin, in all; read after stopped

	screen  *screen            // nil: the job has no terminal
	streams map[uint32]*stream // of descriptors above 2
}

func (r *remote) start(s place.Start) *mexecpb.Start {
	st := &mexecpb.Start{
		Job: uint64(r.line.ID), Grant: uint64(s.Grant), Exec: r.body,
		Build: string(s.Build), Memory: uint64(s.Memory),
		Uid: r.cred.UID, Gid: r.cred.GID, Groups: r.cred.Groups,
		SkewMs: uint32(r.d.maxSkew.Milliseconds()),
	}
	terminal := false
	for n, fd := range r.fds {
		kind := mexecpb.Stdio_STDIO_CLOSED
		if fd >= 0 {
			kind = relay.Kind(fd)
		}
		if n == 0 && kind != mexecpb.Stdio_STDIO_CLOSED && r.exec.Flags&wire.NoStdin != 0 {
			kind = mexecpb.Stdio_STDIO_NULL
		}
		if kind == mexecpb.Stdio_STDIO_NULL && fd >= 0 {
			st.NullAccess |= uint32(relay.Access(fd)) << (2 * n)
		}
		st.Stdio = append(st.Stdio, kind)
		terminal = terminal || kind == mexecpb.Stdio_STDIO_TERMINAL
	}
	if terminal {
		r.openScreen(st)
	}
	st.Jobserver = r.jobserver()
	r.tokens.named = st.Jobserver
	st.Descriptors = r.describe(st.Stdio[0])
	st.Merged = relayed(st.Stdio[1]) && relayed(st.Stdio[2]) && relay.Merged(r.fds[1], r.fds[2])
	return st
}

func relayed(k mexecpb.Stdio) bool {
	return k == mexecpb.Stdio_STDIO_STREAM || k == mexecpb.Stdio_STDIO_FILE
}

func (r *remote) send(up *mexecpb.Up) error {
	r.sending.Lock()
	defer r.sending.Unlock()
	return r.stream.Send(up)
}

// attach lets the stub's signals through, those first that had to wait for the program.
func (r *remote) attach() {
	if r.screen != nil {
		r.attachTo(r.screen.up)
	} else {
		r.attachTo(r.send)
	}
}

func (r *remote) attachTo(up func(*mexecpb.Up) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up = up
	for _, s := range slices.Concat(r.pending, r.early) {
		r.told = true
		r.up(signalUp(s))
	}
}

func (r *remote) detach() {
	r.mu.Lock()
	r.up = nil
	r.mu.Unlock()
}

// receive takes what the worker sends until the job has ended or was refused.
func (r *remote) receive() (*mexecpb.End, *mexecpb.Refused, error) {
	for {
		down, err := r.stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the worker said nothing of its end")
			}
			return nil, nil, err
		}
		if down.Refused != nil {
			return nil, down.Refused, nil
		}
		if !r.heard {
			r.heard = true
			r.enter(runs)
			r.d.placer.running(r.line)
		}
		r.hears(down)
		if len(down.Out) > 0 {
			r.link.Turns.Do(down.Order, func() { r.write(1, down.Out) })
		}
		if len(down.Err) > 0 {
			r.link.Turns.Do(down.Order, func() { r.write(2, down.Err) })
		}
		if down.Credit > 0 && r.credit != nil {
			r.credit.give(int(down.Credit))
		}
		if down.Data != nil {
			if s := r.streams[down.Data.Number]; s != nil {
				if err := s.take(down.Data); err != nil {
					return nil, nil, err
				}
			}
		}
		if r.screen != nil {
			r.screen.obey(down)
		}
		if down.Stopped != 0 {
			r.conn.Write(wire.AppendNumber(nil, wire.Stopped, down.Stopped))
		}
		if down.TokenNews != nil {
			r.hearTokens(down.TokenNews)
		}
		if down.End != nil {
			return down.End, nil, nil
		}
	}
}

// write gives output to the caller. When its reader is gone, the program is to hear of it by its next write, as it would here.
func (r *remote) write(n int, b []byte) {
	s := r.sinks[n]
	if s == nil || s.Broken() {
		return
	}
	err := s.Write(r.ctx, b)
	if s.Broken() {
		r.send(&mexecpb.Up{Broken: uint32(n)})
		if n == 1 && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
			r.unsaid = err
		}
	}
}

// tellEnd tells the caller how the job ended. One that has printed to a full disk may not have heard of it, its output having been in a pipe: then to say that
// it succeeded would not be true. What is lost of stderr counts for nothing, since hardly a program looks.
func (r *remote) tellEnd(end *mexecpb.End) {
	lost := ""
	if r.unsaid != nil {
		lost = fmt.Sprintf("%s: its output can't be written: %v", r.exec.Path, r.unsaid)
	}
	succeeded := end.Signal == 0 && end.Code == 0
	if lost != "" && !succeeded {
		r.tell(lost)
	}
	r.letGo()
	switch {
	case lost != "" && succeeded:
		r.d.placer.outcome(r.line, mexec.Status{Code: mexec.LostStatus}, r.line.Usage)
		r.fail(lost)
	case end.Signal != 0:
		r.conn.Write(wire.AppendNumber(nil, wire.Killed, end.Signal))
	default:
		r.conn.Write(wire.AppendNumber(nil, wire.Exited, end.Code))
	}
}

// relayStdin reads the caller's stdin as far as the worker gives credit for it. The first credit says that the program runs: what was read
// for a job that is then refused could not be put back into a pipe.
func (r *remote) relayStdin(kind mexecpb.Stdio) {
	window := relay.Page
	switch kind {
	case mexecpb.Stdio_STDIO_FILE:
		window = relay.FileWindow
	case mexecpb.Stdio_STDIO_STREAM:
	default:
		return
	}
	ctx, stop := context.WithCancel(r.ctx)
	r.source, r.stop = relay.NewSource(r.fds[0]), stop
	r.credit, r.stopped = newCredit(0), make(chan struct{})
	r.d.wg.Go(func() {
		defer close(r.stopped)
		r.read = pump(ctx, r.source, r.credit, make([]byte, min(window, link.Chunk)), func(b []byte, eof bool) error {
			return r.send(&mexecpb.Up{Stdin: b, StdinEof: eof})
		})
	})
}

// giveBack puts back what was read of stdin and not by the program.
func (r *remote) giveBack(taken uint64) {
	if r.source == nil {
		return
	}
	r.stop()
	<-r.stopped
	r.source.GiveBack(r.read - int64(taken))
}

// close lets go of all that was opened for the caller's descriptors.
func (r *remote) close() {
	r.closeStreams()
	if r.source != nil {
		r.stop()
		<-r.stopped
		r.source.Close()
	}
	if r.screen != nil {
		r.screen.close()
	}
	for _, s := range r.sinks {
		if s != nil {
			s.Close()
		}
	}
}

// lend lets others have the job's slot.
func (r *remote) lend() bool {
	if r.lent.Swap(true) {
		return false
	}
	r.send(&mexecpb.Up{Lend: true})
	return true
}
