package monitor

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"mexec"
)

// Outcome is how far a command has come.
type Outcome uint8

const (
	Waiting   Outcome = iota // for a slot
	Running                  // on Node
	Done                     // it ended with Status
	Lost                     // nobody will know
	Withdrawn                // nobody wants it any more; it never ran
)

// Command is one command of a build.
type Command struct {
	Text, Dir string
	Source    string // whose job it is
	Job       mexec.JobID
	PID       int  // here
	Kept      bool // the tool's shim did not offer it to the cluster
	Drives    bool // kept, and what it starts travels: a nested make
	Node      mexec.NodeID
	Why       string // there, or kept

	Asked, Start, End time.Time // of a command that waits or runs the later ones are zero
	Outcome           Outcome
	Status            mexec.Status
	Usage             mexec.Usage
	Again             int           // how often it had to start again elsewhere, since its node refused or lost it
	Late              time.Duration // that it ended later than the best other node was expected to have it done; 0: not known

	end   *mexec.Event // of its process, while that is news
	again bool         // it is about to be told anew that it started
	moot  bool         // kept, but another command of its process has come, and no end of it
}

// Waited is how long it was until a command that has started started.
func (c *Command) Waited() time.Duration {
	if c.Start.IsZero() {
		return 0
	}
	return max(0, c.Start.Sub(c.Asked))
}

// Took is how long a command ran, until now if it still does.
func (c *Command) Took(now time.Time) time.Duration {
	switch {
	case c.Start.IsZero():
		return 0
	case c.End.IsZero():
		return max(0, now.Sub(c.Start))
	}
	return max(0, c.End.Sub(c.Start))
}

// Stay sums the commands of one program that were kept here for one reason.
type Stay struct {
	Program, Why string
	Drives       bool
	N            int
	Took, CPU    time.Duration
	Late         time.Duration // of those of which it is known
}

// Model is a build so far.
type Model struct {
	Began time.Time

	Waiting, Running   int
	Ended, Failed      int // of those that ended, these with another status than 0
	LostN, WithdrawnN  int
	Refused, Reran     int           // starts that came to nothing: the node did not take it; the node lost it and it ran again
	KeptN, KeptRunning int           // without those that drive
	There, Here        time.Duration // CPU, of placed commands that ended; what was kept here is in Stays
	Room               int

	Losses   []string            // the first few: what, where, why
	Refusals map[string]int      // by node and reason
	Slowest  []*Command          // that ended, the slowest first
	Waits    []*Command          // that ended, those first that had waited longest
	Kept     map[[2]string]*Stay // by program and reason
	Local    map[string]*Stay    // those that were placed and ran here, by reason

	Commands []*Command // all, as they came; kept only where wanted
	Rooms    []Room     // likewise

	keep   bool
	traced []*Command
	nodes  map[mexec.NodeID]*Node
	order  []mexec.NodeID
	home   mexec.NodeID // this node; empty while nobody has said it
	active map[job]*Command
	doubt  map[job]*Command        // that were active when their daemon was heard last
	kept   map[int]*Command        // that run, by PID
	views  map[string][]mexec.Node // by who says so
	rooms  map[string]int
	joins  joins
}

// job names a job: each daemon has its own numbers.
type job struct {
	source string
	id     mexec.JobID
}

// What a model remembers at most of what may have any number.
const (
	manySlowest  = 8
	manyLosses   = 8
	manyReasons  = 64
	manyPrograms = 256

	otherReasons = "other reasons"
	worthWait    = 100 * time.Millisecond // of a wait to be remembered
)

// New is the model of a build that begins now. With keep it holds on to every command.
func New(began time.Time, keep bool) *Model {
	return &Model{
		Began: began, keep: keep,
		Refusals: map[string]int{}, Kept: map[[2]string]*Stay{}, Local: map[string]*Stay{},
		nodes: map[mexec.NodeID]*Node{}, active: map[job]*Command{}, doubt: map[job]*Command{}, kept: map[int]*Command{}, views: map[string][]mexec.Node{}, rooms: map[string]int{},
		joins: newJoins(),
	}
}

// Fold takes what has happened.
func (m *Model) Fold(events []mexec.Event) {
	for i := range events {
		m.fold(&events[i])
	}
}

func (m *Model) fold(e *mexec.Event) {
	switch e.Kind {
	case mexec.Cluster:
		m.cluster(e)
		return
	case mexec.Gap:
		m.gap(e)
		return
	case mexec.Kept:
		m.stays(e)
		return
	case mexec.Reaped:
		if c := m.joins.reaped(e); c != nil {
			m.reaped(c, e)
		}
		return
	}
	id := job{e.Source, e.Job}
	c := m.active[id]
	if c == nil {
		if e.Kind != mexec.Received { // of a job that is over, or that we were not told of
			return
		}
		if c = m.doubt[id]; c != nil && c.PID == e.PID && c.Text == e.Command { // it is told anew
			delete(m.doubt, id)
			c.again = c.Outcome == Running // and counts as started
			c.Outcome = Waiting
			m.active[id] = c
			m.Waiting++
			return
		}
		c = &Command{Text: e.Command, Dir: e.Dir, Source: e.Source, Job: e.Job, PID: e.PID, Asked: e.At}
		m.active[id] = c
		m.Waiting++
		m.add(c)
		return
	}
	switch e.Kind {
	case mexec.Starts:
		m.leave(c)
		c.Node, c.Why, c.Start, c.Outcome = e.Node, e.Why, e.At, Running
		m.Running++
		n := m.node(c.Node)
		n.Running++
		if !c.again {
			n.Started++
		}
		c.again = false
	case mexec.Waits:
		was := c.Outcome
		m.leave(c)
		if was == Running {
			c.Again++
			m.node(c.Node).Started--
			if isLoss(e.Why) {
				m.Reran++
			} else {
				m.Refused++
				count(m.Refusals, string(c.Node)+": "+strings.TrimPrefix(e.Why, string(c.Node)+": "))
			}
		}
		c.Node, c.Why, c.Start, c.Outcome = "", e.Why, time.Time{}, Waiting
		m.Waiting++
	case mexec.Ended:
		m.leave(c)
		delete(m.active, id)
		c.End, c.Status, c.Outcome, c.Late = e.At, e.Status, Done, e.Late
		m.Ended++
		m.joins.await(c)
		if n := m.node(c.Node); !n.Home {
			c.Usage = e.Usage
			n.CPU += cpu(e.Usage)
			m.There += cpu(e.Usage)
		} else {
			m.local(c, 1)
		}
		m.failed(c)
		m.measured(c)
		m.slow(c)
		m.trace(c)
	case mexec.Lost:
		m.leave(c)
		delete(m.active, id)
		c.End, c.Why, c.Outcome = e.At, e.Why, Lost
		m.joins.await(c)
		m.lose(c, e.Why)
	case mexec.Withdrawn:
		m.leave(c)
		delete(m.active, id)
		c.End, c.Outcome = e.At, Withdrawn
		m.joins.await(c)
		m.WithdrawnN++
	}
}

// leave takes a command out of the count of those that are where it is.
func (m *Model) leave(c *Command) {
	if c.Outcome == Waiting {
		m.Waiting--
		return
	}
	m.Running--
	m.node(c.Node).Running--
}

// add makes a command known, and the end of its process where that was faster.
func (m *Model) add(c *Command) {
	if m.keep {
		m.Commands = append(m.Commands, c)
	}
	if old := m.kept[c.PID]; old != nil {
		m.supersede(old)
	}
	if c.Kept {
		m.kept[c.PID] = c
		m.countKept(c, 1)
	}
	if e := m.joins.begin(c); e != nil {
		m.reaped(c, e)
	}
}

// stays takes a command that was not offered.
func (m *Model) stays(e *mexec.Event) {
	c := &Command{Text: e.Command, Dir: e.Dir, PID: e.PID, Kept: true, Drives: isDriver(e.Command, e.Why), Node: m.home, Why: e.Why,
		Asked: e.At, Start: e.At, Outcome: Running}
	m.add(c)
}

// supersede forgets a kept command in whose process another comes: its execve has failed, nobody has waited for it, or the news of its end are late.
func (m *Model) supersede(c *Command) {
	m.joins.await(c)
	delete(m.kept, c.PID)
	m.countKept(c, -1)
	c.moot = true
}

// countKept counts a kept command that begins to run, or undoes it.
func (m *Model) countKept(c *Command, n int) {
	m.stay(c).N += n
	if !c.Drives {
		m.KeptN += n
		m.KeptRunning += n
	}
}

// stay is the sum that a kept command is part of.
func (m *Model) stay(c *Command) *Stay {
	key := [2]string{Program(c.Text), c.Why}
	if m.Kept[key] == nil && len(m.Kept) >= manyPrograms {
		key[0] = "others"
	}
	s := m.Kept[key]
	if s == nil {
		s = &Stay{Program: key[0], Why: c.Why, Drives: c.Drives}
		m.Kept[key] = s
	}
	return s
}

// reaped is told that a command's process is gone, with what it used.
func (m *Model) reaped(c *Command, e *mexec.Event) {
	if !c.Kept {
		end := *e
		c.end = &end
		m.measured(c)
		return
	}
	if c.moot {
		c.moot = false
		m.countKept(c, 1)
	} else {
		delete(m.kept, c.PID)
	}
	if !c.Drives {
		m.KeptRunning--
	}
	c.End, c.Status, c.Usage, c.Outcome = e.At, e.Status, e.Usage, Done
	s := m.stay(c)
	s.Took += c.Took(e.At)
	s.CPU += cpu(e.Usage)
	if !c.Drives {
		m.slow(c)
	}
}

// measured gives a command that ran here what its process used, when both its end and that of the process are known, whichever came first. Of a
// command elsewhere the process here was a stub.
func (m *Model) measured(c *Command) {
	if c.end == nil || c.Outcome != Done || !m.node(c.Node).Home {
		return
	}
	// The tool saw it end before the daemon did, and may have asked for the next already.
	if c.end.At.Before(c.End) && c.end.At.After(c.Start) {
		c.End = c.end.At
	}
	c.Status, c.Usage, c.end = c.end.Status, c.end.Usage, nil
	m.node(c.Node).CPU += cpu(c.Usage)
	m.Here += cpu(c.Usage)
	m.local(c, 0).CPU += cpu(c.Usage)
	m.failed(c)
}

// Longest are the commands that run, those first that have run longest; at most n.
func (m *Model) Longest(n int) []*Command {
	var all []*Command
	for _, c := range m.active {
		if c.Outcome == Running {
			all = append(all, c)
		}
	}
	for _, c := range m.kept {
		if !c.Drives {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *Command) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Text, b.Text), cmp.Compare(a.PID, b.PID))
	})
	return all[:min(n, len(all))]
}

// Stays are the kept commands by program and reason, the costliest first.
func (m *Model) Stays() []*Stay {
	all := make([]*Stay, 0, len(m.Kept))
	for _, s := range m.Kept {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Stay) int {
		return cmp.Or(cmp.Compare(b.CPU, a.CPU), cmp.Compare(b.Took, a.Took), cmp.Compare(b.N, a.N), strings.Compare(a.Program, b.Program), strings.Compare(a.Why, b.Why))
	})
	return all
}

// local is the sum that a command is part of that was placed and has run here. n counts it in.
func (m *Model) local(c *Command, n int) *Stay {
	why := reason(c.Why)
	if m.Local[why] == nil && len(m.Local) >= manyReasons {
		why = otherReasons
	}
	s := m.Local[why]
	if s == nil {
		s = &Stay{Why: why}
		m.Local[why] = s
	}
	if n > 0 {
		s.N++
		s.Took += c.Took(c.End)
		s.Late += c.Late
	}
	return s
}

// slow keeps a command that ended if it is one of the slowest, or of those that waited longest.
func (m *Model) slow(c *Command) {
	m.Slowest = first(m.Slowest, c, func(c *Command) time.Duration { return c.Took(c.End) })
	if c.Waited() >= worthWait {
		m.Waits = first(m.Waits, c, (*Command).Waited)
	}
}

// first keeps a command among the few that have the most of something.
func first(few []*Command, c *Command, of func(*Command) time.Duration) []*Command {
	at, _ := slices.BinarySearchFunc(few, c, func(a, b *Command) int { return cmp.Compare(of(b), of(a)) })
	if at >= manySlowest {
		return few
	}
	few = slices.Insert(few, at, c)
	return few[:min(len(few), manySlowest)]
}

func (m *Model) failed(c *Command) {
	if c.Status.Code != 0 || c.Status.Signal != 0 {
		m.Failed++
	}
}

func count(m map[string]int, key string) {
	if _, ok := m[key]; !ok && len(m) >= manyReasons {
		key = otherReasons
	}
	m[key]++
}

func cpu(u mexec.Usage) time.Duration { return u.User + u.System }
