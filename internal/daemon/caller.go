package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mexec"
	"mexec/internal/descriptor"
	"mexec/internal/history"
	"mexec/internal/ledger"
	"mexec/internal/local"
	"mexec/internal/place"
	"mexec/internal/relay"
	"mexec/internal/spawn"
	"mexec/internal/wire"
	"mexec/internal/wire/mexecpb"
)

// The home side of one job, in the order in which it happens: serve, admit, wait, here or away (away.go).

// caller is one stub and its job.
type caller struct {
	d    *Daemon
	conn *local.Conn
	cred local.Cred
	exec *wire.ExecBody
	body []byte // the bytes of exec, for the worker
	fds  [3]int // the caller's descriptors; -1: closed
	held []int  // all of the caller's that we have open

	above  []int              // its descriptors above 2, as exec names them
	routes []descriptor.Route // and how they travel
	line   *ledger.Job
	wish   place.Job
	piped  *piped         // nil: it has no pipe
	key    history.Key    // what its cost is known by
	lostBy []mexec.NodeID // nodes that were lost with it

	ctx    context.Context // ends when the stub is gone
	cancel context.CancelFunc
	once   sync.Once     // starts the reading of the stub's frames
	said   chan struct{} // the stub has printed where the job goes
	waits  bool          // the stub knows that its job waits

	mu      sync.Mutex // guards the rest
	up      func(*mexecpb.Up) error
	phase   phase
	pending []wire.SignalBody // blocked by the caller, kept for the program
	early   []wire.SignalBody // came while it was not known whether the program runs
	killed  syscall.Signal    // what ended a job that had not started
	told    bool              // the program has got a signal that may mean more to it than to go on
}

// phase is what signals go by.
type phase int

const (
	placing phase = iota // nothing runs
	sent                 // the node may run it or refuse it
	runs                 // or has run
)

// serve takes one connection from its first frame to its end.
func (d *Daemon) serve(conn *local.Conn) {
	defer conn.Done()
	defer conn.Close()
	c := &caller{d: d, conn: conn, said: make(chan struct{}, 1)}
	defer c.letGo()
	// Who it is comes first: the line about what it sent has to name it.
	cred, err := conn.Cred()
	c.cred = cred
	if err == nil && !d.everyone && cred.UID != uint32(os.Getuid()) {
		err = fmt.Errorf("uid %d is not served by the daemon of uid %d", cred.UID, os.Getuid())
	}
	var h wire.Header
	if err == nil {
		h, c.body, c.held, err = conn.ReadFirst()
	}
	if err == nil && h.Type == wire.Query {
		err = d.query(conn, cred, string(c.body))
	} else if err == nil {
		if h.Type != wire.Exec {
			err = fmt.Errorf("%v frame where a job should begin", h.Type)
		} else if c.exec, err = wire.ParseExec(c.body); err == nil {
			c.fds, c.above, err = spread(c.exec, c.held)
		}
	}
	if err != nil {
		if !errors.Is(err, io.EOF) { // who connects and says nothing only looks whether we live
			c.tellWaiting() // and will be: it has not been sent
			d.log.Warn(fmt.Sprintf("local: pid %d, uid %d: %v", c.cred.PID, c.cred.UID, err))
		}
		return
	}
	if c.exec == nil {
		return
	}
	c.ctx, c.cancel = context.WithCancel(d.ctx)
	defer c.cancel()
	c.job()
}

// spread puts the descriptors that came where they belong.
func spread(e *wire.ExecBody, fds []int) (to [3]int, above []int, err error) {
	to = [3]int{-1, -1, -1}
	if said := bits.OnesCount32(e.FDs) + len(e.Descriptors); said != len(fds) {
		return to, nil, fmt.Errorf("EXEC frame: %d descriptors came, %d were said", len(fds), said)
	}
	for n := range to {
		if e.FDs&(1<<n) != 0 {
			to[n], fds = fds[0], fds[1:]
		}
	}
	return to, slices.Clone(fds), nil
}

// letGo closes the caller's descriptors. It comes before the stub hears of an end, so that who then reads the other side of a pipe to
// its end waits for nobody.
func (c *caller) letGo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, fd := range c.held {
		unix.Close(fd)
	}
	c.held = nil
}

// job places the command, as often as it takes, and sees it to its end.
func (c *caller) job() {
	nodes, err := place.ParseNodes(string(c.exec.Nodes))
	if err != nil {
		c.fail(err.Error())
		return
	}
	if g := c.d.ancestry.of(c.cred.PID, int(c.exec.Ppid), c.d.now()); g != 0 {
		c.d.placer.lend(g)
	}
	c.piped = pipesOf(c.fds)
	c.wish = place.Job{
		Nodes: nodes, Here: c.mustStay(), UID: c.cred.UID,
		Dir:  [2]uint64{c.exec.Dir.Dev, c.exec.Dir.Ino},
		Prog: [2]uint64{c.exec.Prog.Dev, c.exec.Prog.Ino},
	}
	c.key = history.KeyOf(c.cred.UID, c.exec.Kind, c.exec.Cwd, c.exec.Argv)
	c.wish.Cost = c.d.costs.of(c.key)
	if c.d.cfg.Root != 0 {
		c.d.adopted.Do(c.d.adopt)
	}
	line, placed := c.d.placer.submit(mexec.BuildID(c.exec.Build), c.exec.Command(120),
		ledger.Caller{UID: c.cred.UID, PID: c.cred.PID, Dir: string(c.exec.Cwd)}, c.wish)
	c.line = line
	for {
		start, ok := c.wait(placed)
		if !ok {
			c.d.placer.withdrawn(line)
			if c.killed != 0 {
				c.conn.Write(wire.AppendNumber(nil, wire.Killed, uint32(c.killed)))
			}
			return
		}
		c.d.placer.granted(line, start)
		if start.Node == c.d.self {
			c.letGo()
			c.here(start)
			return
		}
		if c.away(start) {
			return
		}
	}
}

// mustStay says why this job can't travel, empty if it can.
func (c *caller) mustStay() string {
	e := c.exec
	switch {
	case c.d.pool == nil:
		return "this node is in no cluster"
	case e.UID != [3]uint32{c.cred.UID, c.cred.UID, c.cred.UID} || e.GID != [3]uint32{c.cred.GID, c.cred.GID, c.cred.GID}:
		return "real, effective and saved ids differ"
	}
	if why := privilege(e, c.cred.UID); why != "" {
		return why
	}
	if c.d.everyone && c.cred.UID != 0 {
		if why := overstated(e, c.cred.PID); why != "" {
			return why
		}
	}
	return c.look()
}

// wait waits for a grant. false: the caller is gone, or was killed while it waited.
func (c *caller) wait(placed chan place.Start) (place.Start, bool) {
	if c.ctx.Err() != nil {
		return place.Start{}, false
	}
	select {
	case s := <-placed:
		return s, true
	default:
	}
	c.tellWaiting()
	c.listen()
	c.d.pipes.enter(c.piped, nil)
	defer c.d.pipes.leave(c.piped)
	defer c.d.costs.wait(c.line.ID, c.key, c.wish.Cost)()
	select {
	case s := <-placed:
		return s, true
	case <-c.ctx.Done():
		return place.Start{}, false
	}
}

// A stub takes a job that we have taken for sent: most are at once, and to say so would wake it up for each of them. So it is told of the
// others, and whoever is told anything is told all.

// tellWaiting: nothing runs. A stub that loses us from here on runs the command itself.
func (c *caller) tellWaiting() {
	c.waits = true
	c.conn.Write(wire.AppendText(nil, wire.Waiting, ""))
	c.conn.Take()
}

// tellSent comes before the job is sent: from here on a stub that loses us reports a loss and runs nothing again.
func (c *caller) tellSent(s place.Start) {
	if c.waits || c.exec.Flags&wire.Verbose != 0 {
		c.waits = false
		if c.conn.Write(wire.AppendText(nil, wire.Sent, string(s.Node)+": "+s.Why)) != nil {
			c.cancel()
		}
	}
	c.conn.Take()
	if c.exec.Flags&wire.Verbose != 0 {
		// The program may draw a screen before the stub gets the CPU; its line comes first.
		c.listen()
		select {
		case <-c.said:
		case <-c.ctx.Done():
		case <-time.After(patience):
		}
	}
}

// patience is for a stub whose line is not taken: stderr is a pipe that nobody reads.
const patience = time.Second

// listen starts to read what the stub says, once.
func (c *caller) listen() {
	c.once.Do(func() {
		c.d.wg.Go(func() {
			defer c.cancel()
			for {
				h, body, err := c.conn.ReadFrame()
				if err != nil {
					return
				}
				if h.Type != wire.Signal {
					c.d.log.Warn(fmt.Sprintf("local: pid %d: %v frame in a job", c.cred.PID, h.Type))
					return
				}
				s, err := wire.ParseSignal(body)
				if err != nil {
					c.d.log.Warn(fmt.Sprintf("local: pid %d: %v", c.cred.PID, err))
					return
				}
				if s.Number == 0 {
					select {
					case c.said <- struct{}{}:
					default:
					}
					continue
				}
				c.signal(s)
			}
		})
	})
}

// signal passes a signal on to the program. Where there is none yet, it does to the stub what it would have done to the program
// just after execve. While it isn't known which, both may follow: the node has it, and keeps it from nobody if it refuses the job.
func (c *caller) signal(s wire.SignalBody) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signalLocked(s)
}

func (c *caller) signalLocked(s wire.SignalBody) {
	harmless := s.Number == syscall.SIGCONT || s.Number == syscall.SIGWINCH || s.Number == syscall.SIGURG || s.Number == syscall.SIGCHLD
	if c.phase == sent {
		c.early = append(c.early, s)
	}
	if c.up != nil {
		c.told = c.told || !harmless
		c.up(signalUp(s))
	}
	if c.phase != placing || harmless {
		return
	}
	switch {
	case c.exec.SigBlk&(1<<(s.Number-1)) != 0:
		c.pending = append(c.pending, s)
	case c.exec.SigIgn&(1<<(s.Number-1)) != 0:
	case s.Number == syscall.SIGTSTP || s.Number == syscall.SIGTTIN || s.Number == syscall.SIGTTOU:
		c.conn.Write(wire.AppendNumber(nil, wire.Stopped, uint32(s.Number)))
	default:
		c.killed = s.Number
		c.cancel()
	}
}

// enter changes the phase. What came early is the program's as soon as that runs; if it doesn't, it means what it would have meant before.
func (c *caller) enter(p phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = p
	early := c.early
	c.early = nil
	switch p {
	case placing:
		for _, s := range early {
			c.signalLocked(s)
		}
	case runs:
		c.pending = nil
	}
}

func signalUp(s wire.SignalBody) *mexecpb.Up {
	return &mexecpb.Up{Signal: &mexecpb.Signal{Number: uint32(s.Number), Group: s.Group}}
}

// here lets the stub execute the program in place, and holds its slot until the process is gone.
func (c *caller) here(s place.Start) {
	p := c.d.placer
	fd, err := c.conn.Pidfd(c.cred.PID)
	p.sending(c.line)
	c.d.ancestry.enter(c.cred.PID, s.Grant)
	c.d.pipes.enter(c.piped, func() bool { return p.lend(s.Grant) })
	defer c.d.pipes.leave(c.piped)
	if err == nil {
		err = c.conn.Write(wire.AppendText(nil, wire.Here, s.Why))
		c.conn.Take()
	}
	c.conn.Close()
	if err == nil {
		load := c.d.warden.enter(&burden{grant: s.Grant, since: c.d.now(), ours: true, pids: func() []int {
			return spawn.Below(c.cred.PID, []int{c.cred.PID})
		}})
		waitExit(c.d.ctx, fd, func(fd int) { c.learnHere(load, fd) })
		c.d.warden.leave(load)
	} else if fd >= 0 {
		unix.Close(fd)
	}
	c.d.ancestry.leave(c.cred.PID, s.Grant)
	p.endedHere(c.line, s.Grant)
}

// waitExit waits until the process of a pidfd has ended, in the poller and not in a thread, and closes it. At the moment of the end it calls ended,
// where its parent may not have waited for it yet.
func waitExit(ctx context.Context, fd int, ended func(fd int)) {
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if n > 0 && ended != nil {
			ended(int(fd))
		}
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
}

// fail ends the stub with a failure of ours and one line that says which.
func (c *caller) fail(text string) {
	c.conn.Write(wire.AppendFailed(nil, mexec.LostStatus, text))
	c.conn.Take()
}

// sinks are where the job's output goes.
func (c *caller) sinks() (sinks [3]*relay.Sink) {
	for _, n := range []int{1, 2} {
		if c.fds[n] >= 0 {
			sinks[n] = relay.NewSink(c.fds[n])
		}
	}
	return sinks
}

// query answers what people and mpmake want to know.
func (d *Daemon) query(conn *local.Conn, cred local.Cred, text string) error {
	if what, ok := strings.CutPrefix(text, "watch "); ok {
		return d.watch(conn, cred.UID, what)
	}
	answer, err := d.answer(cred, text)
	if errors.As(err, new(nothing)) {
		return conn.Write(wire.AppendFailed(nil, 2, err.Error()))
	}
	if err != nil {
		return unanswered(conn, err)
	}
	b, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("query %q: %w", text, err)
	}
	return conn.Write(wire.AppendText(nil, wire.Reply, string(b)))
}

func unanswered(conn *local.Conn, err error) error {
	return errors.Join(err, conn.Write(wire.AppendFailed(nil, 2, err.Error())))
}
