package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mexec"
	"mexec/internal/history"
)

// memory is a keeper in memory, the twin of package archive.
type memory struct {
	mu     sync.Mutex
	rows   map[uint64]history.Row
	aside  error // what Load says
	err    error
	full   error // what Save says
	tried  int   // how often it was called
	closed bool
}

var _ Keeper = (*memory)(nil)

func (m *memory) Load() (rows []history.Row, aside, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		rows = append(rows, r)
	}
	return rows, m.aside, m.err
}

func (m *memory) Save(changed []history.Row, gone []uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tried++; m.full != nil {
		return m.full
	}
	for _, r := range changed {
		m.rows[r.Key] = r
	}
	return nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// kind is the row of a program's kind.
func (m *memory) kind(name string) (found history.Row) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if !r.Exact && r.Name == name {
			found = r
		}
	}
	return found
}

func TestHomeLearnsWhatACommandTookOnItsNodeAndKeepsIt(t *testing.T) {
	kept := &memory{rows: map[uint64]history.Row{}}
	change := func(c *Config) { c.Keeper = kept }
	_, second := two(t, change)
	// 32 MiB in a shell's variable, half a second of its time, and 1,000 bytes on each of its outputs.
	const script = `v=$(head -c 33554432 /dev/zero | tr '\0' x); i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; printf '%1000d' 0; printf '%1000d' 0 >&2`
	for range 3 {
		if _, errs, code := second.mexec("-n", "1", "sh", "-c", script); code != 0 {
			t.Fatal(code, errs)
		}
	}
	second.mexec("-n", "1", "sh", "-c", "kill -TERM $$")
	second.until("what it took is written", func() bool { return kept.kind("sh").Runs == 3 })
	r := kept.kind("sh")
	if r.CPU < 0.02 || r.Wall < r.CPU/4 || r.Wall > 30 || r.Memory < 32<<20 || r.Memory > 256<<20 || r.Output != 2000 {
		t.Errorf("%+v", r)
	}
	if err := second.Close(); err != nil || !kept.closed || len(kept.rows) != 2 {
		t.Errorf("%v, closed %v, %d rows", err, kept.closed, len(kept.rows))
	}
	third := openOne(t, nil, change)
	third.until("it is known again", func() bool {
		third.costs.mu.Lock()
		defer third.costs.mu.Unlock()
		for key, r := range kept.rows {
			k := history.Key{Kind: 1, Command: key}
			if r.Exact && third.costs.known.Of(k).Runs == 3 {
				return true
			}
		}
		return false
	})
}

func TestACommandThatRunsHereIsLearnedFromToo(t *testing.T) {
	kept := &memory{rows: map[uint64]history.Row{}}
	m := openOne(t, nil, func(c *Config) { c.Keeper = kept })
	// It waits until it was looked at: for as long as that takes.
	seen := filepath.Join(t.TempDir(), "seen")
	const script = `v=$(head -c 33554432 /dev/zero | tr '\0' x); i=0; while [ $i -lt 100000 ] || [ ! -e "$0" ]; do i=$((i+1)); done`
	done := make(chan int)
	go func() {
		_, _, code := m.mexec("sh", "-c", script, seen)
		done <- code
	}()
	m.until("it is looked at", func() bool {
		m.warden.mu.Lock()
		defer m.warden.mu.Unlock()
		for b := range m.warden.jobs {
			if b.peak > 32<<20 && b.cpu > 0 {
				return true
			}
		}
		return false
	})
	if err := os.WriteFile(seen, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != 0 {
		t.Fatal(code)
	}
	m.until("what it took is written", func() bool { return kept.kind("sh").Runs == 1 })
	if r := kept.kind("sh"); r.CPU < 0.02 || r.Wall < r.CPU/4 || r.Memory < 32<<20 || r.Memory > 256<<20 {
		t.Errorf("%+v", r)
	}
}

// Three jobs of one kind wait that nobody knows. When another of it has ended they are taken for what that was.
func TestJobsThatWaitAreToldWhatWasLearnedMeanwhile(t *testing.T) {
	c := newCosts("n1", newPlacer(mexec.Node{Name: "n1", Slots: 1}, time.Now))
	key := func(file string) history.Key { return history.KeyOf(1, 7, []byte("/src"), []byte(file)) }
	var done []func()
	for i, file := range []string{"a", "b", "c"} {
		done = append(done, c.wait(mexec.JobID(i+1), key(file), mexec.Cost{}))
	}
	run := history.Run{Wall: time.Second, Memory: 1 << 30}
	c.known.Ran(key("first"), "cc", run, time.Now())
	news := c.newsLocked(key("a").Kind)
	if len(news) != 3 || news[0].cost.Memory < 1<<30 {
		t.Fatalf("%+v", news)
	}
	c.known.Ran(key("second"), "cc", run, time.Now())
	if news := c.newsLocked(key("a").Kind); news != nil {
		t.Errorf("much the same is told again: %+v", news)
	}
	run.Memory *= 2
	c.known.Ran(key("third"), "cc", run, time.Now())
	if news := c.newsLocked(key("a").Kind); len(news) != 3 || news[0].cost.Memory < 2<<30 {
		t.Errorf("%+v", news)
	}
	for _, f := range done {
		f()
	}
	if len(c.waiting) != 0 || c.newsLocked(key("a").Kind) != nil {
		t.Errorf("%v still wait", c.waiting)
	}
}

func TestAKeeperThatFailsIsSaidOnceAndKeepsNoDaemonFromItsWork(t *testing.T) {
	for _, k := range []*memory{{err: errors.New("no disk")}, {aside: errors.New("no database"), rows: map[uint64]history.Row{}}} {
		m := openOne(t, nil, func(c *Config) { c.Keeper = k })
		m.until("it is said", func() bool { return strings.Contains(m.log.String(), "no d") })
		if out, _, code := m.mexec("echo", "ran"); out != "ran\n" || code != 0 {
			t.Errorf("%q, %d", out, code)
		}
		m.Close()
		if n := strings.Count(m.log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d lines: %s", n, m.log)
		}
	}
}

// What was learned while the disk was full was never written, but where it changed once more.
func TestWhatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	k := &memory{rows: map[uint64]history.Row{}, full: errors.New("no space")}
	m := openOne(t, nil, func(c *Config) { c.Keeper = k })
	ran := func(name string, kind uint64) {
		m.costs.ran(history.KeyOf(1, kind, nil, []byte(name)), name, history.Run{Wall: time.Second}, time.Now())
	}
	ran("while it was full", 1)
	m.until("it is tried", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.tried > 0
	})
	ran("later", 2)
	k.mu.Lock()
	k.full = nil
	k.mu.Unlock()
	m.Close()
	if k.kind("while it was full").Runs != 1 || k.kind("later").Runs != 1 {
		t.Errorf("%+v", k.rows)
	}
}

func TestWhatWasLearnedIsWrittenInALullOrAfterHalfAMinute(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	l, runs, written := lull{saved: now}, 0, ""
	for _, ran := range []int{0, 3, 0, 0, 5, 5, 5, 0} {
		now = now.Add(time.Second)
		runs += ran
		written += map[bool]string{true: "w", false: "-"}[l.due(runs, now)]
	}
	if written != "w-ww---w" {
		t.Error(written)
	}
	many := 0
	for range 120 {
		now = now.Add(time.Second)
		if runs++; l.due(runs, now) {
			many++
		}
	}
	if many != 4 {
		t.Errorf("written %d times in two minutes of a build", many)
	}
}
