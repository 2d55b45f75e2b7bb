package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mexec"
	"mexec/internal/jobserver"
	"mexec/internal/link"
	"mexec/internal/place"
	"mexec/internal/relay"
	"mexec/internal/spawn"
	"mexec/internal/wire"
	"mexec/internal/wire/mexecpb"
)

// The worker side of one job, in the order in which it happens: Run, admit, start, relay, end.

// worker serves the jobs of other homes on this node.
type worker struct{ d *Daemon }

var _ link.Worker = worker{}

func (w worker) Arrived(s *link.Session) {
	w.d.log.Debug(fmt.Sprintf("link from %s: up", s.Home))
	w.d.placer.arrived(s)
}

func (w worker) Departed(s *link.Session) {
	w.d.log.Debug(fmt.Sprintf("link from %s: down", s.Home))
	w.d.placer.departed(s)
}

func (w worker) Wanted(s *link.Session, shares []place.Share) { w.d.placer.wanted(s, shares) }
func (w worker) Returned(s *link.Session, ids []place.Grant)  { w.d.placer.returned(s, ids) }

func (w worker) Load() *mexecpb.Load {
	l := w.d.sample()
	drain := w.d.drain.now()
	load := &mexecpb.Load{Slots: uint32(l.Slots), Busy: uint32(l.Busy), LoadMilli: uint32(l.Load * 1000), Draining: drain.Draining, Why: drain.Why}
	if !drain.Draining {
		_, load.Why = w.d.placer.offered()
	}
	memory, free := w.d.memory()
	load.Memory, load.MemoryFree = uint64(memory), uint64(free)
	return load
}

// Run serves one job of a home.
func (w worker) Run(ctx context.Context, s *link.Session, start *mexecpb.Start, stream mexecpb.Node_RunServer) error {
	grant := place.Grant(start.Grant)
	switch w.d.placer.startFor(s.Home, start) {
	case place.VoidGrant:
		return stream.Send(refusal(mexecpb.Refused_NO_GRANT, "the grant is void", 0))
	case place.NoMemory:
		return stream.Send(refusal(mexecpb.Refused_MEMORY, "too little memory is free", 0))
	}
	w.d.drain.guests.Add(1)
	defer w.d.drain.guests.Add(-1)
	if drain := w.d.drain.now(); drain.Draining {
		w.d.placer.cancelFor(grant)
		return stream.Send(refusal(mexecpb.Refused_BUSY, drainWords(drain), 0))
	}
	g := &guest{worker: w, grant: grant, session: s, stream: stream, started: w.d.now(), over: make(chan struct{})}
	job, no := g.admit(start)
	// Before it runs, for the first thing that it does may be to call mexec.
	job.Born = func(pid int) {
		w.d.ancestry.leave(g.pid, grant)
		w.d.ancestry.enter(pid, grant)
		g.pid = pid
	}
	defer func() { w.d.ancestry.leave(g.pid, grant) }()
	if no == nil {
		no = g.begin(ctx, job, start)
	}
	if no != nil {
		w.d.placer.cancelFor(grant) // before the news of it: who hears it may ask again at once
		return stream.Send(no)
	}
	result, err := g.relay(ctx)
	if err != nil {
		w.d.placer.cancelFor(grant)
		if step := (*spawn.StepError)(nil); errors.As(err, &step) && ctx.Err() == nil {
			return g.send(refused(err))
		}
		return err
	}
	renewed := w.d.placer.endFor(grant)
	result.Grant, result.GrantMemory, result.LeaseMs = uint64(renewed.Grant), uint64(renewed.Memory), uint32(renewed.Lease.Milliseconds())
	g.note(result)
	return g.send(&mexecpb.Down{End: result})
}

func refusal(why mexecpb.Refused_Why, detail string, errno syscall.Errno) *mexecpb.Down {
	return &mexecpb.Down{Refused: &mexecpb.Refused{Why: why, Detail: detail, Errno: uint32(errno)}}
}

// guest is a job of another node on this one.
type guest struct {
	worker
	session *link.Session
	stream  mexecpb.Node_RunServer
	exec    *wire.ExecBody
	pid     int // of proc, or its parent
	proc    *spawn.Process
	grant   place.Grant
	started time.Time

	sending sync.Mutex // a stream takes one Send at a time

	feed     *relay.Feed         // nil: no stdin is relayed
	stdin    *inbox              // what came for it
	over     chan struct{}       // closed when the process has ended
	outs     [3]*os.File         // our ends of the output pipes
	conduits map[uint32]*conduit // of descriptors above 2
	nest     *jobserver.Nest     // nil: no jobserver
	desk     *desk               // nil: the job has no terminal
	output   sync.WaitGroup
}

// admit says whether this node runs such a job for such a user.
func (g *guest) admit(start *mexecpb.Start) (spawn.Job, *mexecpb.Down) {
	d := g.d
	exec, err := wire.ParseExec(start.Exec)
	if err == nil && len(start.Stdio) != 3 {
		err = errors.New("start: not three descriptors")
	}
	if err == nil {
		err = complete(exec.Descriptors, start.Descriptors)
	}
	if err != nil {
		return spawn.Job{}, refusal(mexecpb.Refused_MALFORMED, err.Error(), 0)
	}
	g.exec = exec
	switch {
	case d.everyone && start.Uid == 0 && !d.cfg.RootJobs:
		return spawn.Job{}, refusal(mexecpb.Refused_USER, "root's jobs of other nodes are not run here (root-jobs)", 0)
	case !d.everyone && start.Uid != uint32(os.Getuid()):
		return spawn.Job{}, refusal(mexecpb.Refused_USER, fmt.Sprintf("this daemon runs jobs of uid %d only", os.Getuid()), 0)
	}
	setter, _ := exec.Getenv("ENVSETTER")
	return spawn.Job{
		Exec: start.Exec, SetIDs: d.everyone, UID: start.Uid, GID: start.Gid, Groups: start.Groups,
		SameKernel: g.session.SameKernel, CheckDirectory: true, CheckProgram: true,
		Skew: time.Duration(start.SkewMs) * time.Millisecond, EnvSetter: setter, Nicer: d.cfg.GuestNice,
	}, nil
}

// begin makes the job's descriptors and hands it to its stage. Whether its program ran, relay will know.
func (g *guest) begin(ctx context.Context, job spawn.Job, start *mexecpb.Start) *mexecpb.Down {
	var theirs [3]*os.File
	ends := g.nestFor(&job, start)
	defer func() {
		for _, f := range append(theirs[:], ends[:]...) {
			if f != nil {
				f.Close()
			}
		}
	}()
	more, err := g.equip(&job, start, ends)
	defer func() {
		for _, f := range more {
			f.Close()
		}
	}()
	for n, kind := range start.Stdio {
		switch {
		case err != nil || kind == mexecpb.Stdio_STDIO_CLOSED:
			continue
		case kind == mexecpb.Stdio_STDIO_NULL:
			job.Stdio[n] = g.d.null[min(start.NullAccess>>(2*n)&3, unix.O_RDWR)]
			continue
		case kind == mexecpb.Stdio_STDIO_TERMINAL:
			if g.desk == nil {
				g.desk, err = newDesk(start)
			}
			if err == nil {
				job.Stdio[n], job.Terminal = g.desk.Slave, true
			}
			continue
		case n == 0:
			window := relay.Page
			if kind == mexecpb.Stdio_STDIO_FILE {
				window = relay.FileWindow
			}
			g.feed, job.Stdio[0], err = relay.NewFeed(window)
			g.stdin = newInbox(window)
			continue
		case n == 2 && start.Merged:
			job.Stdio[2] = theirs[1]
			continue
		default:
			g.outs[n], theirs[n], err = relay.NewDrain()
		}
		job.Stdio[n] = theirs[n]
	}
	if err == nil {
		g.proc, err = g.start(ctx, job)
	}
	if err == nil {
		g.serveTokens()
		return nil
	}
	g.close()
	return refused(err)
}

// start starts the job. One with stdin to relay must be known to run before the home reads any of it.
func (g *guest) start(ctx context.Context, job spawn.Job) (*spawn.Process, error) {
	if g.feed == nil && len(g.conduits) == 0 {
		return g.d.spawner.Hand(ctx, job)
	}
	proc, err := g.d.spawner.StartContext(ctx, job)
	if err == nil && g.feed != nil && !proc.Opens(0) {
		g.send(&mexecpb.Down{Credit: uint32(g.feed.Window())})
	}
	return proc, err
}

// refused says what a failed start means to the home. Nothing of the program has run.
func refused(err error) *mexecpb.Down {
	var step *spawn.StepError
	if errors.Is(err, errUnsupplied) {
		return refusal(mexecpb.Refused_FILE, err.Error(), 0)
	}
	if !errors.As(err, &step) {
		return refusal(mexecpb.Refused_BUSY, err.Error(), 0)
	}
	why := mexecpb.Refused_ATTRIBUTE
	switch step.Step {
	case spawn.StepCWD, spawn.StepDirectory:
		why = mexecpb.Refused_DIRECTORY
	case spawn.StepProgram:
		why = mexecpb.Refused_PROGRAM
	case spawn.StepEnvSetter:
		why = mexecpb.Refused_ENVSETTER
	case spawn.StepExec:
		why = mexecpb.Refused_EXEC
	case spawn.StepDescriptor:
		why = mexecpb.Refused_FILE
		switch {
		case step.Errno == unix.ENOENT, step.Errno == unix.EACCES, step.Errno == unix.EPERM, step.Errno == 0 && step.Detail&7 == spawn.DirectoryLocal:
			why = mexecpb.Refused_FILE_ALIKE // to ask all nodes of a cluster would take longer than the command
		}
	}
	return refusal(why, err.Error(), step.Errno)
}

func (g *guest) close() {
	g.closeTokens()
	if g.feed != nil {
		g.feed.Close()
	}
	for _, c := range g.conduits {
		c.Close()
	}
	for _, f := range g.outs {
		if f != nil {
			f.Close()
		}
	}
	if g.desk != nil {
		g.desk.Close()
	}
}

func (g *guest) send(d *mexecpb.Down) error {
	g.sending.Lock()
	defer g.sending.Unlock()
	return g.stream.Send(d)
}

// relay serves the job until its process has ended, nothing of it is left and all it wrote has been sent. The end of ctx, be it the
// caller's, the home's or the link's, kills it.
func (g *guest) relay(ctx context.Context) (*mexecpb.End, error) {
	defer context.AfterFunc(ctx, func() { g.proc.Kill() })()
	g.proc.Changes(func(stopped syscall.Signal) {
		tell := func() { g.send(&mexecpb.Down{Stopped: uint32(stopped), Continued: stopped == 0}) }
		if g.desk == nil {
			tell()
		} else {
			g.desk.After(tell)
		}
	})
	if g.desk != nil {
		g.desk.begin(g.proc.Pids, &g.output, g.send)
	}
	g.d.wg.Go(g.hear)
	var feeding sync.WaitGroup
	if g.feed != nil {
		feeding.Go(g.feedStdin)
	}
	for n, out := range g.outs {
		if out != nil {
			g.output.Go(func() { g.drain(n, out) })
		}
	}
	finish := g.serveConduits(ctx)
	load := g.d.warden.enter(&burden{grant: g.grant, since: g.started, pids: g.proc.Pids})
	defer g.d.warden.leave(load)
	status, usage, err := g.proc.Wait()
	wall := g.d.now().Sub(g.started)
	rerr := g.proc.Release()
	if rerr != nil {
		g.d.log.Error(fmt.Sprintf("job of %s: %v", g.session.Home, rerr))
	}
	if g.desk != nil {
		g.desk.leave()
	}
	g.output.Wait()
	finish()
	var taken int64
	if g.feed != nil {
		close(g.over)
		g.feed.Finish()
		feeding.Wait()
		taken = g.feed.Taken()
	}
	g.close()
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	g.d.warden.leave(load)
	killed := g.d.warden.killed(load, status)
	var moved []*mexecpb.Position
	for _, p := range g.proc.Moved() {
		moved = append(moved, &mexecpb.Position{Number: p.Number, Offset: p.Offset})
	}
	return &mexecpb.End{
		Code: uint32(status.Code), Signal: uint32(status.Signal), Core: status.Core,
		UserUs: uint64(usage.User.Microseconds()), SystemUs: uint64(usage.System.Microseconds()), MaxRssKb: uint64(usage.MaxRSS),
		WallUs: uint64(max(0, wall.Microseconds())),
		PeakKb: uint64(load.peak >> 10), OutOfMemory: killed, Left: rerr != nil,
		StdinTaken: uint64(max(0, taken)), Positions: moved,
	}, nil
}

// hear takes what the home sends: it ends with the stream. A home of ours never sends more than it has credit for.
func (g *guest) hear() {
	for {
		up, err := g.stream.Recv()
		if err != nil {
			return
		}
		switch {
		case g.desk != nil && g.desk.hear(up):
		case up.Signal != nil && up.Signal.Number >= 1 && up.Signal.Number <= 64:
			g.proc.Signal(syscall.Signal(up.Signal.Number), up.Signal.Group)
		case up.Lend:
			g.d.placer.lend(g.grant)
		case up.TokenOffer != nil:
			g.offerTokens(up.TokenOffer)
		case up.Broken == 1 || up.Broken == 2:
			if out := g.outs[up.Broken]; out != nil {
				out.Close() // its next write fails, as at home
			}
		case up.Data != nil:
			if c := g.conduits[up.Data.Number]; c != nil && !c.take(up.Data) {
				g.proc.Kill()
			}
		case len(up.Stdin) > 0 || up.StdinEof:
			if g.feed != nil && !g.stdin.put(up.Stdin, up.StdinEof) {
				g.proc.Kill()
			}
		}
	}
}

// feedStdin gives the job what came for its stdin, and home credit for more when that has been read.
func (g *guest) feedStdin() {
	for {
		in, eof, ok := g.stdin.take(g.over)
		if !ok {
			return
		}
		if len(in) > 0 {
			err := g.feed.Write(in)
			if err == nil {
				err = g.send(&mexecpb.Down{Credit: uint32(len(in))})
			}
			if err != nil {
				return // the job closed its stdin or is gone
			}
		}
		if eof {
			g.feed.Finish()
			return
		}
	}
}

var buffers = sync.Pool{New: func() any { return new([link.Chunk]byte) }}

// drain sends what the job writes to descriptor n.
func (g *guest) drain(n int, out *os.File) {
	buf := buffers.Get().(*[link.Chunk]byte)
	defer buffers.Put(buf)
	in, err := g.d.arrivals.Add(out, &g.session.Written)
	if err != nil {
		if !errors.Is(err, os.ErrClosed) {
			g.d.log.Warn(fmt.Sprintf("job of %s: its output: %v", g.session.Home, err))
		}
		out.Close()
		return
	}
	defer in.Remove()
	for {
		k, order, err := in.Read(buf[:])
		if k > 0 {
			down := &mexecpb.Down{Order: order}
			if n == 1 {
				down.Out = buf[:k]
			} else {
				down.Err = buf[:k]
			}
			if g.send(down) != nil {
				out.Close()
				return
			}
		}
		if k == 0 {
			if err != nil && !errors.Is(err, os.ErrClosed) {
				g.d.log.Warn(fmt.Sprintf("job of %s: read its output: %v", g.session.Home, err))
			}
			return
		}
	}
}

// note shows a job that was given to this node, with --debug.
func (g *guest) note(end *mexecpb.End) {
	if !g.d.cfg.Debug {
		return
	}
	status := mexec.Status{Code: int(end.Code), Signal: syscall.Signal(end.Signal)}
	g.d.log.Info(fmt.Sprintf("job of %s: %s: %v after %v", g.session.Home, g.exec.Command(120), status, g.d.now().Sub(g.started).Round(time.Millisecond)))
}
