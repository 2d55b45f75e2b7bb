package daemon

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mexec"
	"mexec/internal/gauge"
	"mexec/internal/place"
)

// warden knows what jobs use of this node's memory: it measures those that run for a while, tells placement what they take and how much there is, and
// whether the kernel has killed one for want of it.
//
// What a job may have is budgeted and not enforced: no limit of the kernel's stands around a job. One that is beyond what was expected of it
// is counted with what it has, and as long as there is less free than is kept in reserve nothing new is granted. Most jobs are over before anybody has looked at them: of these what the kernel says at
// their end, the greatest of their processes, is enough.
type warden struct {
	d      *Daemon
	meter  *gauge.Meter
	budget atomic.Int64 // of all jobs, in bytes; 0: not known
	count  func() (kills int64, ok bool)
	sooner chan struct{} // the next look is due earlier than it was: holds one

	mu    sync.Mutex // guards the rest
	jobs  map[*burden]struct{}
	seen  int64     // kills, as last counted
	since time.Time // when there were more than before
	left  int       // of these, that no job was found for
	short bool      // at the last look there was less than the budget
	last  time.Time // the last look
	due   time.Time // the next
	rests time.Time // until then none comes for the sake of a new job

	stuck time.Time // since when others have much of it and no job of ours any; the loop's
}

// burden is what one job has taken. What changes is the warden's, under its lock.
type burden struct {
	grant place.Grant
	since time.Time
	pids  func() []int // all that it consists of now
	ours  bool         // it is no child of this daemon: its CPU time, too, must be looked for

	peak int64
	cpu  time.Duration
	at   time.Time // of the look that found cpu
}

const (
	often = 250 * time.Millisecond // is how soon a job is looked at for the first time, and the pace while jobs may soon have all the memory
	rare  = time.Second            // and else
	hasty = 10 * time.Millisecond  // is between two looks at least

	// rush is how much memory a CPU may take in a second: the kernel must have cleared it.
	rush = 2 << 30

	// thrashing is the share of time in which nothing goes on for want of memory above which nothing new is granted, whatever seems free.
	thrashing = 0.1

	// hunger is how long nothing is started that others leave too little memory for, while no job of ours has any. They may have it for good, and then
	// to start nothing for ever would be worse than to start one.
	hunger = 30 * time.Second

	// squeezed is the share of the budget from which on it counts that others have it.
	squeezed = 8

	// known is for how long a kill that no job has answered for may be that of one that ends.
	known = 3 * time.Second
)

// reserve is what jobs leave of this node's memory: for the daemon, the system, and what is faster than a look.
func reserve(total int64) int64 { return min(max(total/32, 64<<20), 1<<30) }

func newWarden(d *Daemon) *warden {
	m := gauge.NewMeter()
	return &warden{d: d, meter: m, count: m.Kills, sooner: make(chan struct{}, 1), jobs: map[*burden]struct{}{}}
}

// open finds out how much memory there is for jobs.
func (w *warden) open() {
	budget := w.d.cfg.Memory
	if _, total, err := w.meter.Memory(); budget == 0 && err == nil {
		budget = max(0, total-reserve(total))
	}
	w.budget.Store(budget)
	w.stuck = w.d.now()
	w.seen, _ = w.count()
	w.look(w.d.now())
}

// enter begins to look at a job.
func (w *warden) enter(b *burden) *burden {
	due := w.d.now().Add(often)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs[b] = struct{}{}
	if due.Before(w.rests) {
		due = w.rests
	}
	w.bringLocked(due)
	return b
}

// leave ends that. What the job had in any look does not change any more. Where memory was short, be it only because a job that was about to end had been asked and its
// memory was not free yet, the next job is not to wait for the next look.
func (w *warden) leave(b *burden) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, in := w.jobs[b]
	delete(w.jobs, b)
	if in && w.short {
		w.bringLocked(w.last.Add(hasty))
	}
}

// bringLocked has the next look come by then.
func (w *warden) bringLocked(due time.Time) {
	if !due.Before(w.due) {
		return
	}
	w.due = due
	select {
	case w.sooner <- struct{}{}:
	default:
	}
}

// killed says whether the kernel has killed some of a job that ended like this for want of memory. It asks only about one that died of
// SIGKILL, or failed, as who waits for a process that was killed so does. Each kill is one job's.
func (w *warden) killed(b *burden, status mexec.Status) bool {
	if status.Code == 0 && status.Signal != syscall.SIGKILL {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.countLocked(w.d.now())
	if w.left == 0 || w.since.Before(b.since) {
		return false
	}
	w.left--
	return true
}

func (w *warden) countLocked(now time.Time) {
	n, ok := w.count()
	if ok && n > w.seen {
		w.left += int(n - w.seen)
		w.since = now
	}
	if ok {
		w.seen = n
	}
	if now.Sub(w.since) > known {
		w.left = 0
	}
}

// run looks until the daemon ends.
func (w *warden) run() {
	t := time.NewTimer(rare)
	defer t.Stop()
	for {
		now := w.d.now()
		w.mu.Lock()
		wait := w.due.Sub(now)
		w.mu.Unlock()
		if wait <= 0 {
			w.look(now)
			continue
		}
		t.Reset(wait)
		select {
		case <-t.C:
		case <-w.sooner:
		case <-w.d.ctx.Done():
			return
		}
	}
}

// look measures, tells placement, and decides when to look again: with many processes that is later, so that looks take little more than a hundredth of a CPU.
func (w *warden) look(now time.Time) {
	begun := time.Now()
	available, total, err := w.meter.Memory() // before the jobs: what one takes meanwhile must not seem to be others'
	w.mu.Lock()
	w.last, w.due = now, now.Add(rare)
	var all []*burden
	for b := range w.jobs {
		all = append(all, b)
	}
	w.countLocked(now)
	w.mu.Unlock()
	// A command that a job has called for, and that runs here, is among the job's own processes: it is the younger one, and they are its.
	slices.SortFunc(all, func(a, b *burden) int { return b.since.Compare(a.since) })
	taken := map[int]bool{}
	used := int64(0)
	for _, b := range all {
		pids := slices.DeleteFunc(b.pids(), func(pid int) bool { return taken[pid] })
		n, cpu := gauge.Resident(pids), time.Duration(0)
		for _, pid := range pids {
			taken[pid] = true
			if b.ours {
				c, _, _ := gauge.CPU(pid)
				cpu += c
			}
		}
		w.mu.Lock()
		if _, in := w.jobs[b]; in { // else it has ended meanwhile, and is its owner's
			b.peak, b.cpu, b.at = max(b.peak, n), cpu, now
		}
		w.mu.Unlock()
		used += n
		w.d.placer.uses(b.grant, n)
	}
	left := int64(0)
	if budget := w.budget.Load(); err == nil && budget > 0 {
		present := allowance(budget, used, available-reserve(total), w.meter.Stalled())
		left = present - used
		if len(all) > 0 || present >= budget-budget/squeezed {
			w.stuck = now
		}
		w.mu.Lock()
		w.short = present < budget-budget/16
		w.mu.Unlock()
		w.d.placer.mayUse(budget, present, w.stuck == now || now.Sub(w.stuck) > hunger)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	rests := min(100*time.Since(begun), rare)
	w.rests = now.Add(rests)
	if due := now.Add(max(rests, pace(len(all), left))); due.Before(w.due) {
		w.due = due
	}
}

// pace is how soon so many jobs are to be looked at again of which all could have so much more memory: not before they may have taken it.
func pace(jobs int, left int64) time.Duration {
	if jobs == 0 {
		return rare
	}
	seconds := float64(left) / float64(rush*int64(runtime.NumCPU()))
	return max(often, min(rare, time.Duration(seconds*float64(time.Second))))
}

// allowance is how much memory jobs may have in all: their budget, but no more than what they have and what could be had. So what others
// use of this machine is not promised to jobs, and while nothing can be had, or all stand still for want of it, no job is started.
func allowance(budget, used, free int64, stalled float64) int64 {
	if stalled > thrashing {
		free = 0
	}
	return min(budget, used+max(0, free))
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
