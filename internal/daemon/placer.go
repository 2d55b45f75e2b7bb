package daemon

import (
	"math/rand/v2"
	"sync"
	"time"

	"mexec"
	"mexec/internal/ledger"
	"mexec/internal/link"
	"mexec/internal/place"
	"mexec/internal/wire/mexecpb"
)

// placer owns what this node decides: both halves of placement and the book of jobs, under one lock. Nothing under the lock waits:
// what is to be told to others is left with their links.
//
// One lock and not one goroutine: the caller of submit has its grant before it returns wherever a slot is free, without the
// two switches that a channel would cost each command.
type placer struct {
	self mexec.NodeID
	now  func() time.Time
	pool *link.Pool // nil where this node is alone

	mu       sync.Mutex // guards the rest
	home     *place.Home
	slots    *place.Slots
	book     *ledger.Ledger
	addrs    map[mexec.NodeID]string
	sessions map[mexec.NodeID]*link.Session
	placed   map[mexec.JobID]chan place.Start
	watchers []*watcher // feed.go
	alarm    *time.Timer
	rings    time.Time // when it does; zero: it does not
	calm     bool      // the next tick is far
	stir     chan struct{}
	quiet    bool   // it never will again
	draining bool   // other homes get nothing
	leaves   int    // what the owner of this node leaves to them; -1: all
	leavesBy string // why that is not all
}

func newPlacer(self mexec.Node, now func() time.Time) *placer {
	p := &placer{
		self: self.Name, now: now,
		home: place.NewHome(self, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))), slots: place.NewSlots(self.Slots), book: ledger.New(),
		addrs: map[mexec.NodeID]string{}, sessions: map[mexec.NodeID]*link.Session{},
		placed: map[mexec.JobID]chan place.Start{},
		leaves: -1,
		stir:   make(chan struct{}, 1),
	}
	p.slots.Host(self.Name)
	return p
}

// with runs f under the lock and then does what the two halves want done, until both rest.
func (p *placer) with(f func(now time.Time)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.home.Own(p.slots)
	f(now)
	p.settleLocked(now)
	p.alarmLocked(now)
	p.stirLocked()
	if p.watchers != nil {
		p.publishLocked()
	}
}

func (p *placer) settleLocked(now time.Time) {
	for {
		todo := p.home.Take()
		offers, recalls := p.slots.Take()
		if todo.Empty() && len(offers)+len(recalls) == 0 {
			return
		}
		for _, s := range todo.Starts {
			if s.Node != p.self || p.startHereLocked(s, now) {
				p.placed[s.Job] <- s // holds one, and a job starts once for each time that it waits
			}
		}
		for _, w := range todo.Wants {
			if w.Node == p.self {
				p.slots.Want(p.self, w.Shares, now)
			} else if p.pool != nil {
				p.pool.Want(w.Node, p.addrs[w.Node], w.Shares)
			}
		}
		for _, r := range todo.Returns {
			if r.Node == p.self {
				p.slots.Return(p.self, r.Grants, now)
			} else if p.pool != nil {
				p.pool.Return(r.Node, r.Grants)
			}
		}
		for _, o := range offers {
			if o.Home == p.self {
				p.home.Granted(p.self, o, now)
			} else if s := p.sessions[o.Home]; s != nil {
				s.Grant(o)
			}
		}
		for _, r := range recalls {
			if r.Home == p.self {
				p.home.Recalled(p.self, r.Grants, now)
			} else if s := p.sessions[r.Home]; s != nil {
				s.Recall(r.Grants)
			}
		}
	}
}

// startHereLocked takes the slot for a job that stays here, or puts the job back.
func (p *placer) startHereLocked(s place.Start, now time.Time) bool {
	switch p.slots.Start(p.self, s.Grant, s.UID, s.Build, s.Memory, now) {
	case place.VoidGrant:
		p.home.Refused(s.Job, place.RefusedGrant, "the grant is void", now)
	case place.NoMemory:
		p.home.Refused(s.Job, place.RefusedMemory, "too little memory is free", now)
	default:
		return true
	}
	return false
}

// submit enters a job; the channel delivers where it is to start, each time that it waits.
func (p *placer) submit(build mexec.BuildID, command string, caller ledger.Caller, job place.Job) (*ledger.Job, chan place.Start) {
	ch := make(chan place.Start, 1)
	var line *ledger.Job
	p.with(func(now time.Time) {
		line = p.book.Enter(build, command, caller, now)
		p.placed[line.ID] = ch
		job.ID, job.Build = line.ID, build
		p.home.Submit(job, now)
	})
	return line, ch
}

// considered is what a start was chosen from, as the book has it.
func considered(s place.Start) []ledger.Candidate {
	list := make([]ledger.Candidate, len(s.Considered))
	for i, c := range s.Considered {
		list[i] = ledger.Candidate(c)
	}
	return list
}

// learned says anew what jobs that wait are expected to take.
func (p *placer) learned(jobs []expectation) {
	p.with(func(now time.Time) {
		for _, j := range jobs {
			p.home.Learned(j.job, j.cost, now)
		}
	})
}

// granted notes where a job is to start.
func (p *placer) granted(j *ledger.Job, s place.Start) {
	p.with(func(now time.Time) {
		p.book.Decide(j, s.Node, s.Why, considered(s), now)
	})
}

// sending is the point of no re-run.
func (p *placer) sending(j *ledger.Job) {
	p.with(func(now time.Time) { p.book.Set(j, ledger.Starting, now) })
}

func (p *placer) running(j *ledger.Job) {
	p.with(func(now time.Time) {
		if j.State == ledger.Starting {
			p.book.Set(j, ledger.Running, now)
		}
		p.home.Runs(j.ID)
	})
}

// borrows notes that a job on another node will be lent tokens of its caller's jobserver.
func (p *placer) borrows(j *ledger.Job) {
	p.with(func(now time.Time) { p.book.Borrows(j, now) })
}

// refused puts a job back among those that wait.
func (p *placer) refused(j *ledger.Job, reach place.Refusal, why string) {
	p.with(func(now time.Time) {
		j.Cause = string(j.Node) + ": " + why
		p.book.Set(j, ledger.Received, now)
		p.home.Refused(j.ID, reach, why, now)
	})
}

// ended closes a job that has ended on another node, with what its worker granted anew.
func (p *placer) ended(j *ledger.Job, renewed place.Renewal) {
	p.with(func(now time.Time) {
		p.book.Set(j, ledger.Ended, now)
		delete(p.placed, j.ID)
		p.home.Ended(j.ID, renewed, now)
	})
}

// endedHere closes a job that has ended on this node.
func (p *placer) endedHere(j *ledger.Job, grant place.Grant) {
	p.with(func(now time.Time) {
		p.book.Set(j, ledger.Ended, now)
		delete(p.placed, j.ID)
		p.home.Ended(j.ID, p.slots.End(grant, now), now)
	})
}

// outcome notes how a job has ended, before it is closed. Whoever asks why reads its line meanwhile.
func (p *placer) outcome(j *ledger.Job, s mexec.Status, u mexec.Usage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j.Status, j.Usage = s, u
}

// lost closes a job that nobody knows the end of.
func (p *placer) lost(j *ledger.Job, cause error) {
	p.with(func(now time.Time) {
		j.Cause = cause.Error()
		p.book.Set(j, ledger.Lost, now)
		delete(p.placed, j.ID)
		p.home.Ended(j.ID, place.Renewal{}, now)
	})
}

// missing notes that a job's node was lost, and that it is to run again.
func (p *placer) missing(j *ledger.Job, cause string) {
	p.with(func(now time.Time) {
		j.Cause = cause
		p.book.Set(j, ledger.Missing, now)
		p.home.Ended(j.ID, place.Renewal{}, now)
	})
}

// trouble lists nodes that have lately refused commands, and why.
func (p *placer) trouble() map[mexec.NodeID]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.home.Trouble(p.now())
}

func (p *placer) straggles(id mexec.JobID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.home.Straggles(id, p.now())
}

// again puts a job that was missing back among those that wait.
func (p *placer) again(j *ledger.Job, job place.Job, lost []mexec.NodeID) {
	p.with(func(now time.Time) {
		p.book.Set(j, ledger.Received, now)
		job.ID = j.ID
		p.home.Again(job, lost, now)
	})
}

// anew puts a job that has ended back among those that wait, to run once more. The grant came with the news of the end.
func (p *placer) anew(j *ledger.Job, cause string, job place.Job, lost []mexec.NodeID, renewed place.Renewal) {
	p.with(func(now time.Time) {
		j.Cause = cause
		p.book.Set(j, ledger.Missing, now)
		p.home.Ended(j.ID, renewed, now)
		p.book.Set(j, ledger.Received, now)
		job.ID = j.ID
		p.home.Again(job, lost, now)
	})
}

func (p *placer) addr(node mexec.NodeID) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addrs[node]
}

// withdrawn closes a job whose caller went away while it waited. A start that was on its way to it leaves its grant to others.
func (p *placer) withdrawn(j *ledger.Job) {
	p.with(func(now time.Time) {
		p.book.Set(j, ledger.Withdrawn, now)
		p.home.Withdraw(j.ID)
		select {
		case s := <-p.placed[j.ID]:
			unused := place.Renewal{Grant: s.Grant, Lease: place.Lease}
			if s.Node == p.self {
				unused = p.slots.End(s.Grant, now)
			}
			p.home.Ended(j.ID, unused, now)
		default:
		}
		delete(p.placed, j.ID)
	})
}

// Jobs of other homes on this node.

func (p *placer) arrived(s *link.Session) {
	p.with(func(now time.Time) {
		p.slots.Gone(s.Home, now)
		p.sessions[s.Home] = s
	})
}

func (p *placer) departed(s *link.Session) {
	p.with(func(now time.Time) {
		if p.sessions[s.Home] == s {
			delete(p.sessions, s.Home)
			p.slots.Gone(s.Home, now)
		}
	})
}

func (p *placer) wanted(s *link.Session, shares []place.Share) {
	p.with(func(now time.Time) {
		if p.sessions[s.Home] == s {
			p.slots.Want(s.Home, shares, now)
		}
	})
}

// drains says whether other homes get nothing.
func (p *placer) drains(yes bool) {
	p.with(func(now time.Time) {
		p.draining = yes
		p.boundLocked(now)
	})
}

// leave says how many slots the owner of this node leaves to other homes, and why that is not all.
func (p *placer) leave(slots int, why string) {
	p.mu.Lock()
	same := p.leaves == slots
	p.leavesBy = why
	p.mu.Unlock()
	if same { // as nearly always
		return
	}
	p.with(func(now time.Time) {
		p.leaves = slots
		p.boundLocked(now)
	})
}

func (p *placer) boundLocked(now time.Time) {
	most := p.slots.Total()
	if p.leaves >= 0 {
		most = min(most, p.leaves)
	}
	if p.draining {
		most = 0
	}
	p.slots.Guests(most, now)
}

func (p *placer) returned(s *link.Session, ids []place.Grant) {
	p.with(func(now time.Time) { p.slots.Return(s.Home, ids, now) })
}

func (p *placer) startFor(home mexec.NodeID, s *mexecpb.Start) (outcome place.Outcome) {
	p.with(func(now time.Time) {
		outcome = p.slots.Start(home, place.Grant(s.Grant), s.Uid, mexec.BuildID(s.Build), link.Bytes(s.Memory), now)
	})
	return outcome
}

// uses notes how much memory a job of this node uses.
func (p *placer) uses(grant place.Grant, bytes int64) {
	p.with(func(now time.Time) { p.slots.Uses(grant, bytes, now) })
}

func (p *placer) endFor(grant place.Grant) (renewed place.Renewal) {
	p.with(func(now time.Time) { renewed = p.slots.End(grant, now) })
	return renewed
}

func (p *placer) cancelFor(grant place.Grant) {
	p.with(func(now time.Time) { p.slots.Cancel(grant, now) })
}

// occupy counts a command that nobody here let start; cancelFor ends it.
func (p *placer) occupy() (grant place.Grant) {
	p.with(func(now time.Time) { grant = p.slots.Occupy(p.self, now) })
	return grant
}

// lend lets others have the slot of a job that waits for some. False: it has done so before, or is over.
func (p *placer) lend(grant place.Grant) (lent bool) {
	p.with(func(now time.Time) { lent = p.slots.Lend(grant, now) })
	return lent
}

// What links and members tell.

func (p *placer) view(nodes []mexec.Node) {
	p.with(func(now time.Time) {
		clear(p.addrs)
		for _, n := range nodes {
			p.addrs[n.Name] = n.Addr
		}
		p.home.View(nodes, now)
	})
}

// updates is view for those nodes of which there is news.
func (p *placer) updates(nodes []mexec.Node) {
	p.with(func(now time.Time) {
		for _, n := range nodes {
			p.addrs[n.Name] = n.Addr
		}
		p.home.Updates(nodes, now)
	})
}

func (p *placer) linked(node mexec.NodeID) {
	p.with(func(now time.Time) { p.home.Reset(node, now) })
}

func (p *placer) grantedBy(node mexec.NodeID, offer place.Offer) {
	p.with(func(now time.Time) { p.home.Granted(node, offer, now) })
}

func (p *placer) recalledBy(node mexec.NodeID, ids []place.Grant) {
	p.with(func(now time.Time) { p.home.Recalled(node, ids, now) })
}

func (p *placer) down(node mexec.NodeID, until time.Time, why string) {
	p.with(func(now time.Time) { p.home.Down(node, until, why, now) })
}

// mayUse says how much memory the jobs on this node may have in all, how much of it there is now, and whether one may start that needs more.
func (p *placer) mayUse(budget, present int64, lone bool) {
	p.with(func(now time.Time) {
		if budget != p.slots.Memory() {
			p.slots.Limit(p.slots.Total(), budget, now)
		}
		p.slots.Squeeze(present, lone, now)
	})
}

func (p *placer) memoryLeft() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slots.Spare()
}

// busy is what this node has: slots in all, those that are held, and those of these that other homes hold.
func (p *placer) busy() (total, busy, guests int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slots.Total(), p.slots.Busy(), p.slots.Guest()
}

// offered is how many slots there are from other homes' point of view, and why that is not all: what the owner leaves to them, and what is held by our own
// home and so is busy. Of a node that drains they hear in another way.
func (p *placer) offered() (slots int, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := p.slots.Total()
	if p.leaves < 0 || p.leaves >= total {
		return total, ""
	}
	return min(total, p.leaves+p.slots.Busy()-p.slots.Guest()), p.leavesBy
}
