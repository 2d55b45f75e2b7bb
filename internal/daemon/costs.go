package daemon

import (
	"bytes"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mexec"
	"mexec/internal/gauge"
	"mexec/internal/history"
	"mexec/internal/link"
	"mexec/internal/pulse"
	"mexec/internal/wire/mexecpb"
)

// Keeper keeps what is known of costs from one run of a daemon to the next (package archive). It is used by one goroutine at a time.
type Keeper interface {
	Load() (rows []history.Row, aside, err error)
	Save(changed []history.Row, gone []uint64) error
	Close() error
}

// costs is what this node has learned of what commands take.
//
// A job's cost is looked up when it comes. While it waits others like it may end: that is what the first build of a tree consists of, and after the first of its kind none is to start as if nothing
// were known. So it is told anew where what is known of its kind has become another thing.
type costs struct {
	placer *placer

	mu      sync.Mutex // guards the rest
	known   *history.Costs
	runs    int               // that it was learned from
	waiting map[uint64]*crowd // by kind
}

// crowd are the jobs of one kind that wait.
type crowd struct {
	jobs map[mexec.JobID]history.Key
	told int64 // what one of them that nobody knows was last taken to need
}

// expectation is what a job is taken to cost.
type expectation struct {
	job  mexec.JobID
	cost mexec.Cost
}

func newCosts(self mexec.NodeID, p *placer) *costs {
	return &costs{placer: p, known: history.NewCosts(self), waiting: map[uint64]*crowd{}}
}

// wait notes a job that waits, and returns what ends that. What was learned since its cost was looked up is told at once.
func (c *costs) wait(job mexec.JobID, k history.Key, was mexec.Cost) (done func()) {
	if k == (history.Key{}) {
		return func() {}
	}
	c.mu.Lock()
	w := c.waiting[k.Kind]
	if w == nil {
		w = &crowd{jobs: map[mexec.JobID]history.Key{}, told: c.known.Of(history.Key{Kind: k.Kind}).Memory}
		c.waiting[k.Kind] = w
	}
	w.jobs[job] = k
	now := c.known.Of(k)
	c.mu.Unlock()
	if now.Memory != was.Memory {
		c.placer.learned([]expectation{{job, now}})
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(w.jobs, job)
		if len(w.jobs) == 0 && c.waiting[k.Kind] == w {
			delete(c.waiting, k.Kind)
		}
	}
}

// newsLocked is what those who wait are to hear when what is known of a kind has changed: nothing where it is much the same.
func (c *costs) newsLocked(kind uint64) (news []expectation) {
	w := c.waiting[kind]
	if w == nil {
		return nil
	}
	need := c.known.Of(history.Key{Kind: kind}).Memory
	if gap := need - w.told; need == 0 || max(gap, -gap) < w.told/32 {
		return nil
	}
	w.told = need
	for job, k := range w.jobs {
		news = append(news, expectation{job, c.known.Of(k)})
	}
	return news
}

func (c *costs) of(k history.Key) mexec.Cost {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known.Of(k)
}

func (c *costs) ran(k history.Key, name string, r history.Run, now time.Time) {
	c.mu.Lock()
	c.known.Ran(k, name, r, now)
	c.runs++
	news := c.newsLocked(k.Kind)
	c.mu.Unlock()
	if news != nil {
		c.placer.learned(news)
	}
}

// learned is how many commands were learned from.
func (c *costs) learned() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs
}

func (c *costs) cpus(node mexec.NodeID, cpus float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known.CPUs(node, cpus)
}

func (c *costs) speed(node mexec.NodeID) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known.Speed(node)
}

// unsaved is how long at most what was learned is not written.
const unsaved = 30 * time.Second

// lull says when to write: when nothing was learned for a second. While a build goes on that would be all that it runs, and its kinds again and again, some hundred rows a
// second, each on a page of the file of its own; so half a minute of it is written at once, which takes a third of the time.
type lull struct {
	runs  int
	saved time.Time
}

func (l *lull) due(runs int, now time.Time) bool {
	quiet := runs == l.runs
	if l.runs = runs; !quiet && now.Sub(l.saved) < unsaved {
		return false
	}
	l.saved = now
	return true
}

// keep reads what is kept, and from then on writes what changes. It goes on beside the daemon: neither its start nor any command waits for a file.
// Where a file can't be read or written that is said once, and all goes on without.
func (d *Daemon) keep(k Keeper) {
	rows, aside, err := k.Load()
	if aside != nil {
		d.log.Warn(aside.Error())
	}
	if err != nil {
		d.log.Warn(err.Error() + ": what commands cost is not kept")
		return
	}
	d.costs.mu.Lock()
	d.costs.known.Restore(rows)
	d.costs.mu.Unlock()
	t := pulse.Every(time.Second)
	defer t.Stop()
	said, pause := false, lull{saved: d.now()}
	var changed []history.Row // what is to be saved: it stays so until it is, while the disk is full say
	var gone []uint64
	save := func() (saved bool) {
		if len(changed)+len(gone) == 0 {
			d.costs.mu.Lock()
			changed, gone = d.costs.known.Take()
			d.costs.mu.Unlock()
		}
		if len(changed)+len(gone) == 0 {
			return false
		}
		err := k.Save(changed, gone)
		if err == nil {
			changed, gone = nil, nil
		} else if !said {
			d.log.Warn(err.Error())
		}
		said = err != nil
		return !said
	}
	for {
		select {
		case <-t.C:
			if pause.due(d.costs.learned(), d.now()) {
				save()
			}
			t.Again()
		case <-d.ctx.Done():
			for save() { // and what has changed since the first failed
			}
			if err := k.Close(); err != nil {
				d.log.Warn(err.Error())
			}
			return
		}
	}
}

// learn tells what a job on another node took. One that was told to end says nothing.
func (r *remote) learn(node mexec.NodeID, end *mexecpb.End) {
	if end.Signal != 0 && !end.OutOfMemory {
		return
	}
	u := r.line.Usage
	r.d.costs.ran(r.key, programName(r.exec.Path), history.Run{
		Node: node, CPU: u.User + u.System, Wall: link.Micros(end.WallUs),
		Memory: link.Bytes(max(end.PeakKb, end.MaxRssKb)) << 10, Output: r.output,
		Failed: end.Code != 0 || end.Signal != 0, OutOfMemory: end.OutOfMemory,
	}, r.d.now())
}

// learnHere is told that a job has ended that ran in its caller's place. It is no child of ours: what the kernel still says of it is gone as soon as its parent
// has waited for it. Then the last look, and its share of the time since, must do; of a short one that it was busy.
func (c *caller) learnHere(b *burden, fd int) {
	now := c.d.now()
	wall := now.Sub(b.since)
	cpu, status, ok := gauge.CPU(c.cred.PID)
	ok = ok && unix.PidfdSendSignal(fd, 0, nil, 0) == nil // else the number may be another's by now
	c.d.warden.leave(b)
	run := history.Run{Node: c.d.self, CPU: cpu, Wall: wall, Memory: b.peak, Output: -1}
	switch {
	case ok:
		run.Failed = status != 0
	case b.cpu > 0:
		run.CPU = time.Duration(float64(b.cpu) * float64(wall) / float64(b.at.Sub(b.since)))
	default:
		run.CPU = wall
	}
	if ok || b.cpu > 0 {
		c.d.placer.outcome(c.line, c.line.Status, mexec.Usage{User: run.CPU, MaxRSS: b.peak >> 10}) // for people; which part was the system's does not matter
	}
	run.OutOfMemory = b.peak > 0 && (!ok || status.Signal() == unix.SIGKILL) && c.d.warden.killed(b, mexec.Status{Signal: unix.SIGKILL})
	if ok && status.Signaled() && !run.OutOfMemory {
		return
	}
	c.d.costs.ran(c.key, programName(c.exec.Path), run, now)
}

// programName is the last name of a program's path.
func programName(path []byte) string { return string(path[bytes.LastIndexByte(path, '/')+1:]) }
