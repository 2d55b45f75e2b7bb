package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec"
	"mexec/internal/ctl"
	"mexec/internal/ledger"
	"mexec/internal/place"
	"mexec/internal/wire"
)

// ear hears what happens to a build.
type ear struct {
	t    *testing.T
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex // guards events
	events []mexec.Event
}

func watch(t *testing.T, build mexec.BuildID, nodes string, daemons ...ctl.Daemon) *ear {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	e := &ear{t: t, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(e.done)
		heard, _ := ctl.Watch(ctx, build, nodes, daemons...)
		for events := range heard {
			e.mu.Lock()
			e.events = append(e.events, events...)
			e.mu.Unlock()
		}
	}()
	t.Cleanup(e.end)
	return e
}

// end ends the watch and waits for what still comes.
func (e *ear) end() {
	e.stop()
	<-e.done
}

func (e *ear) heard() []mexec.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.events)
}

// kinds words what was heard of a job.
func (e *ear) kinds(job mexec.JobID) string {
	var s []string
	for _, ev := range e.heard() {
		if ev.Job == job {
			s = append(s, string(ev.Kind))
		}
	}
	return strings.Join(s, " ")
}

func (e *ear) until(what string, yes func(events []mexec.Event) bool) {
	e.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !yes(e.heard()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			e.t.Fatalf("%s: not so after 20 s; heard %+v", what, e.heard())
		}
	}
}

func room(n int) func([]mexec.Event) bool {
	return func(events []mexec.Event) bool {
		last := 0
		for _, e := range events {
			if e.Kind == mexec.Cluster || e.Kind == mexec.Gap {
				last = e.Room
			}
		}
		return last == n
	}
}

// as is a command of a build: the stub takes the build from the environment of its driver.
func (m *member) as(build mexec.BuildID, args ...string) *exec.Cmd {
	m.t.Helper()
	stub := built(m.t, "mexec")
	cmd := exec.CommandContext(m.t.Context(), stub, args...)
	cmd.Env = append(os.Environ(), "MEXEC_SOCKET="+m.cfg.Socket, fmt.Sprintf("MEXEC_DRIVER=%s:%s:%s", build, stub, m.cfg.Socket))
	return cmd
}

func TestAWatcherHearsOfItsBuildAndOfNoOther(t *testing.T) {
	first, second := two(t, nil)
	e := watch(t, "b", "", ctl.Daemon{Source: "node", Socket: first.cfg.Socket})
	e.until("both nodes' slots are room", room(4))
	if c := e.heard()[0]; c.Kind != mexec.Cluster || c.Source != "node" || len(c.Nodes) == 0 {
		t.Errorf("begins with %+v", c)
	}
	for i, node := range []string{"first", "second"} {
		cmd := first.as("b", "-n", node, "sh", "-c", "exit 3")
		cmd.Dir = "/"
		cmd.Run()
		first.as("other", "-n", node, "true").Run()
		e.until("the job has ended", func([]mexec.Event) bool { return strings.Contains(e.kinds(mexec.JobID(2*i+1)), "ended") })
	}
	e.end()
	for i, node := range []mexec.NodeID{"first", "second"} {
		job := mexec.JobID(2*i + 1)
		if got := e.kinds(job); got != "received starts ended" {
			t.Errorf("on %s: %s", node, got)
		}
		for _, ev := range e.heard() {
			switch {
			case ev.Job != job:
			case ev.Kind == mexec.Received && (ev.Command != "sh -c exit 3" || ev.PID == 0 || ev.Dir != "/"),
				ev.Kind == mexec.Starts && (ev.Node != node || ev.Why == ""),
				ev.Kind == mexec.Ended && node == second.self && (ev.Status.Code != 3 || ev.Usage.MaxRSS == 0),
				ev.Source != "node", ev.At.IsZero():
				t.Errorf("%+v", ev)
			}
		}
		if got := e.kinds(job + 1); got != "" {
			t.Errorf("of the other build's: %s", got)
		}
	}
}

// The first commands of a build had ended before anybody watched, where the machine was busy, and it was said to have had fewer.
func TestWhatBeginsOnceTheWatchIsEnteredIsHeardOf(t *testing.T) {
	first, _ := two(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	heard, entered := ctl.Watch(ctx, "b", "", ctl.Daemon{Socket: first.cfg.Socket}, ctl.Daemon{Socket: "/nonexistent"})
	select {
	case <-entered: // though nobody reads what it says
	case <-time.After(20 * time.Second):
		t.Fatal("not entered after 20 s")
	}
	if err := first.as("b", "-n", "first", "true").Run(); err != nil {
		t.Error(err)
	}
	stop()
	var kinds []mexec.EventKind
	for events := range heard {
		for _, e := range events {
			if e.Job != 0 {
				kinds = append(kinds, e.Kind)
			}
		}
	}
	if len(kinds) != 3 || kinds[0] != mexec.Received {
		t.Errorf("heard %v", kinds)
	}
}

// The room is that of NODES, and follows the cluster.
func TestRoomFollowsTheNodes(t *testing.T) {
	first, second := two(t, nil)
	d := ctl.Daemon{Socket: first.cfg.Socket}
	all, here, there := watch(t, "b", "", d), watch(t, "b", "first", d), watch(t, "b", "second 7-9", d)
	all.until("room of both", room(4))
	here.until("room of the first", room(2))
	there.until("room of the second", room(2))
	second.Close()
	all.until("the first is left", room(2))
	there.until("what can't go there stays here", room(2))
}

func TestALateWatcherHearsWhatRunsAndAnEndIsNeverMissed(t *testing.T) {
	m := openOne(t, nil, nil)
	gate := filepath.Join(t.TempDir(), "gate")
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := m.as("b", "sh", "-c", `read x <"$0"`, gate)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(gate, os.O_WRONLY, 0) // waits for its reader
	if err != nil {
		t.Fatal(err)
	}
	e := watch(t, "b", "", ctl.Daemon{Socket: m.cfg.Socket})
	e.until("it is told", func(events []mexec.Event) bool { return len(events) > 0 })
	if got := e.kinds(1); got != "received starts" || e.heard()[0].Kind != mexec.Cluster || e.heard()[0].Room != 2 {
		t.Errorf("first: %s, %+v", got, e.heard())
	}
	// As a driver ends: its tool is gone, and the daemon may not know yet.
	w.Close()
	cmd.Wait()
	e.end()
	if got := e.kinds(1); got != "received starts ended" {
		t.Errorf("last: %s", got)
	}
}

func TestADaemonThatComesBackIsWatchedAgain(t *testing.T) {
	m := openOne(t, nil, nil)
	e := watch(t, "b", "", ctl.Daemon{Source: "s", Socket: m.cfg.Socket})
	e.until("room", room(2))
	m.Close()
	e.until("a gap", func(events []mexec.Event) bool { return events[len(events)-1].Kind == mexec.Gap })
	again := openOne(t, nil, func(c *Config) { c.Socket, c.Slots = m.cfg.Socket, 3 })
	e.until("room of the new one", room(3))
	again.as("b", "true").Run()
	e.until("its job", func([]mexec.Event) bool { return strings.Contains(e.kinds(1), "received starts") })
	for _, ev := range e.heard() {
		if ev.Source != "s" {
			t.Errorf("%+v", ev)
		}
	}
}

func TestAStrangersJobsAreNotHeard(t *testing.T) {
	for _, test := range []struct {
		watcher, job uint32
		heard        int
	}{{7, 7, 2}, {7, 8, 1}, {7, 0, 1}, {0, 7, 2}} {
		p := newPlacer(mexec.Node{Name: "n", Slots: 2}, time.Now)
		w, err := see("b", test.watcher)
		if err != nil {
			t.Fatal(err)
		}
		p.watch(w, nil)
		p.with(func(now time.Time) { p.book.Enter("b", "x", ledger.Caller{UID: test.job}, now) })
		if len(w.pending) != test.heard {
			t.Errorf("uid %d of a job of %d: %+v", test.watcher, test.job, w.pending)
		}
		p.unwatch(w)
		late, _ := see("b", test.watcher)
		if p.watch(late, nil); len(late.pending) != test.heard {
			t.Errorf("late: uid %d of a job of %d: %+v", test.watcher, test.job, late.pending)
		}
	}
}

// Whoever reads nothing is hung up on, and until then costs a bounded piece of memory, and nobody waits for it.
func TestASlowWatcherDelaysNobodyAndIsHungUpOn(t *testing.T) {
	m := openOne(t, nil, nil)
	conn, err := net.Dial("unix", m.cfg.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(wire.AppendText(nil, wire.Query, "watch b"))
	m.until("it watches", func() bool { m.placer.mu.Lock(); defer m.placer.mu.Unlock(); return m.placer.watchers != nil })
	long := strings.Repeat("x", 4000)
	most := 0
	for n := 0; ; n++ {
		if n > 1e6 {
			t.Fatal("still there")
		}
		line, _ := m.placer.submit("b", long, ledger.Caller{UID: uint32(os.Getuid())}, place.Job{})
		m.placer.withdrawn(line)
		m.placer.mu.Lock()
		gone := m.placer.watchers == nil
		for _, w := range m.placer.watchers {
			most = max(most, w.size)
			gone = gone || w.slow
		}
		m.placer.mu.Unlock()
		if gone {
			break
		}
	}
	m.until("it is let go", func() bool { m.placer.mu.Lock(); defer m.placer.mu.Unlock(); return m.placer.watchers == nil })
	if most > backlog+10000 {
		t.Errorf("%d bytes were kept for it", most)
	}
	m.until("the log says so", func() bool { return strings.Contains(m.log.String(), "watch b: its reader is too slow") })
}

func TestABadWatchIsRefusedWithItsReason(t *testing.T) {
	m := openOne(t, nil, nil)
	for query, why := range map[string]string{"watch ": "which build", "watch b 3-1": "NODES"} {
		if err := ctl.Query(t.Context(), m.cfg.Socket, query, new(any)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v", query, err)
		}
	}
	e := watch(t, "b", "3-1", ctl.Daemon{Socket: m.cfg.Socket})
	<-e.done // asks no second time
	if len(e.heard()) != 0 {
		t.Errorf("%+v", e.heard())
	}
}

// A table of the nodes costs its reader more than all else that it is told, and the room changes with each grant of anybody.
func TestRoomIsToldAtOnceAndTheNodesOnceASecond(t *testing.T) {
	now := time.Unix(1000, 0)
	d := &Daemon{now: func() time.Time { return now }, warden: &warden{}, drain: &drain{}}
	self := mexec.Node{Number: 1, Name: "n1", State: mexec.Self, Slots: 2}
	d.placer = newPlacer(self, d.now)
	d.costs = newCosts(self.Name, d.placer)
	d.peers = newPeers(d, self)
	w, err := see("b", 0)
	if err != nil {
		t.Fatal(err)
	}
	d.placer.watch(w, d.peers.view())
	heard := func(what string, nodes, room int) {
		t.Helper()
		d.announce()
		events, _, _ := d.placer.news(w)
		switch {
		case room == 0 && len(events) > 0, room > 0 && (len(events) != 1 || events[0].Room != room || len(events[0].Nodes) != nodes):
			t.Errorf("%s: %+v", what, events)
		case room > 0 && len(w.haste) == 0:
			t.Errorf("%s: it waits for others", what)
		}
		select {
		case <-w.haste:
		default:
		}
	}
	heard("at first", 1, 2)
	grant := d.placer.occupy()
	heard("a slot less", 0, 1)
	heard("the same", 0, 0)
	now = now.Add(survey)
	d.announce() // the slot is busy
	if events, _, _ := d.placer.news(w); len(events) != 1 || len(events[0].Nodes) != 1 || events[0].Nodes[0].Busy != 1 {
		t.Errorf("a second later: %+v", events)
	}
	d.placer.cancelFor(grant)
	heard("the slot is free", 0, 2)
}

// Events that come together travel together: each reply wakes its reader up.
func TestRepliesHoldManyEvents(t *testing.T) {
	events := make([]mexec.Event, 1000)
	for i := range events {
		events[i] = mexec.Event{Kind: mexec.Received, Job: mexec.JobID(i + 1), Command: strings.Repeat("c", 1000)}
	}
	frames, n := replies(events), 0
	for len(frames) > 0 {
		h, err := wire.ParseHeader(frames)
		if err != nil || h.Len > batch+2000 {
			t.Fatal(h, err)
		}
		var got []mexec.Event
		if err := json.Unmarshal(frames[wire.HeaderLen:wire.HeaderLen+h.Len], &got); err != nil || len(got) < 100 && n+len(got) < len(events) {
			t.Fatal(len(got), err)
		}
		for _, e := range got {
			if n++; e.Job != mexec.JobID(n) {
				t.Fatal(e.Job, n)
			}
		}
		frames = frames[wire.HeaderLen+h.Len:]
	}
	if n != len(events) {
		t.Errorf("%d of %d", n, len(events))
	}
}
