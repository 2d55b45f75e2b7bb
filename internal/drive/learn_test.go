package drive

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mexec"
	"mexec/internal/history"
	"mexec/internal/journal"
	"mexec/internal/policy"
)

// short counts the commands of a build that stayed for being short, and those that were placed.
func (h heard) short() (short, placed int) {
	for _, e := range h {
		if e.Kind == mexec.Kept && e.Why == journal.Short {
			short++
		}
		if e.Kind == mexec.Received {
			placed++
		}
	}
	return short, placed
}

func TestWhatOneBuildLearnsTheNextOneKnows(t *testing.T) {
	t.Setenv(shortVariable, "200") // the machine may be busy
	dir := t.TempDir()
	const n = 50
	makefile := fmt.Sprintf(`
all: $(addprefix t,%s)
t%%: ; @touch $@ && :
naps: ; @sleep 0 && :
	@sleep 0 && :
	@sleep 0 && :
	@sleep 0 && :
	@sleep $(N) && :
`, numbers(n))
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte(makefile), 0o644); err != nil {
		t.Fatal(err)
	}
	build := func(equip func(*exec.Cmd), args ...string) (short, placed int) {
		t.Helper()
		made, _ := filepath.Glob(filepath.Join(dir, "t*"))
		for _, name := range made {
			os.Remove(name)
		}
		h, _ := hear(t, dir, "make", equip, append(args, "-s", "-j2")...)
		for _, e := range h {
			if e.Kind == mexec.Kept && (h.end(t, e.PID).Status != mexec.Status{}) {
				t.Errorf("%+v failed", e)
			}
		}
		return h.short()
	}
	plain := func(*exec.Cmd) {}
	if short, placed := build(plain); short+placed != n || placed < 4 {
		t.Errorf("at first %d stay, %d are placed", short, placed)
	}
	if short, placed := build(plain); short != n || placed != 0 {
		t.Errorf("then %d stay, %d are placed", short, placed)
	}
	travels := func(cmd *exec.Cmd) {
		text, err := policy.Policy{{Verdict: policy.Travels, Pattern: "touch"}}.Encode(os.Getpid())
		if err != nil {
			t.Error(err)
		}
		cmd.Env = set(cmd.Env, "MEXEC_POLICY", text)
	}
	if short, placed := build(travels); short != 0 || placed != n {
		t.Errorf("of what is to travel %d stay, %d are placed", short, placed)
	}

	build(plain, "naps", "N=0")
	if short, placed := build(plain, "naps", "N=2.1"); short != 5 || placed != 0 {
		t.Errorf("of short naps %d stay, %d are placed", short, placed)
	}
	if short, placed := build(plain, "naps", "N=0"); short != 0 || placed != 5 {
		t.Errorf("after a long one %d stay, %d are placed", short, placed)
	}
	if short, _ := build(plain); short != n {
		t.Errorf("of others %d stay", short)
	}
	t.Setenv(shortVariable, "0")
	if short, placed := build(plain); short != 0 || placed != n {
		t.Errorf("without a limit %d stay, %d are placed", short, placed)
	}
}

func numbers(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(i))
	}
	return strings.Join(all, " ")
}

// class is a learning whose processes are what a test says.
type class struct {
	*learning
	processes map[int]journal.Start
	short     map[journal.Kind]bool
	now       time.Time
}

func newClass(t *testing.T) *class {
	c := &class{processes: map[int]journal.Start{}, short: map[journal.Kind]bool{}, now: time.Unix(1e9, 0)}
	c.learning = learn(func(pid int) (journal.Start, bool) { s, ok := c.processes[pid]; return s, ok },
		func(k journal.Kind, short bool) { c.short[k] = short }, history.Limit, filepath.Join(t.TempDir(), "kinds"))
	return c
}

func (c *class) start(pid int, kind journal.Kind, stayed bool) {
	c.processes[pid] = journal.Start{Kind: kind, At: c.now, Stayed: stayed}
}

// keep lets commands be kept for being short, by the number of the process.
func (c *class) keep(kind journal.Kind, pids ...int) {
	for _, pid := range pids {
		c.start(pid, kind, true)
		c.Events([]mexec.Event{{Kind: mexec.Kept, At: c.now, PID: pid, Why: journal.Short}})
	}
}

func (c *class) reap(after time.Duration, pids ...int) {
	c.now = c.now.Add(after)
	for _, pid := range pids {
		c.Events([]mexec.Event{{Kind: mexec.Reaped, At: c.now, PID: pid}})
	}
}

func (c *class) learned() {
	c.keep(7, 1, 2, 3, 4)
	c.reap(time.Millisecond, 1, 2, 3, 4)
}

func TestNobodyWaitsForTheEndOfWhatTakesLongThisTime(t *testing.T) {
	c := newClass(t)
	c.learned()
	if !c.short[7] {
		t.Fatal("it is not short")
	}
	c.keep(7, 11)
	c.now = c.now.Add(time.Second)
	c.keep(8, 12)
	if c.short[7] {
		t.Error("it is still short")
	}
	c.keep(7, 13) // the driver had not seen it yet
	for i := range 40 {
		c.keep(7, 20+i)
		c.reap(time.Millisecond, 20+i)
	}
	if c.short[7] {
		t.Error("13 is under way, and was not heard of")
	}
	c.reap(0, 11, 12, 13)
	if len(c.kept) != 0 {
		t.Errorf("%d are remembered", len(c.kept))
	}
}

func TestOnlyWhatRanCounts(t *testing.T) {
	c := newClass(t)
	job := mexec.JobID(0)
	run := func(events ...mexec.Event) {
		job++
		for _, e := range events {
			e.Source, e.Job = "own", job
			if e.Kind == mexec.Received {
				c.start(e.PID, 5, false)
			}
			e.At = c.now
			c.Events([]mexec.Event{e})
			c.now = c.now.Add(2 * time.Millisecond)
		}
	}
	received, starts, ended := mexec.Event{Kind: mexec.Received, PID: 9}, mexec.Event{Kind: mexec.Starts}, mexec.Event{Kind: mexec.Ended}
	for range 3 {
		run(received, starts, ended)
	}
	run(received, ended) // it is not said when
	run(received, starts, mexec.Event{Kind: mexec.Lost})
	run(received, mexec.Event{Kind: mexec.Withdrawn})
	run(received, starts, mexec.Event{Kind: mexec.Gap}, ended)
	if c.short[5] || len(c.placed) != 0 {
		t.Errorf("%v, %d jobs", c.short, len(c.placed))
	}
	// What it waited for is no part of it.
	run(received, starts, mexec.Event{Kind: mexec.Waits}, starts, ended)
	if !c.short[5] {
		t.Error("four are a few")
	}
}

func TestAnotherProcessOfThatNumberIsNotTakenForIt(t *testing.T) {
	c := newClass(t)
	for pid := range 4 {
		c.start(pid, 7, true)
		c.now = c.now.Add(mistaken + time.Second)
		c.Events([]mexec.Event{{Kind: mexec.Kept, At: c.now, PID: pid, Why: journal.Short}})
		c.reap(0, pid)
		c.start(pid, 7, false)
		c.Events([]mexec.Event{{Kind: mexec.Kept, At: c.now, PID: pid, Why: journal.Short}, {Kind: mexec.Kept, At: c.now, PID: pid, Why: "policy: local"}})
		c.reap(0, pid)
	}
	if len(c.short) != 0 {
		t.Errorf("%v", c.short)
	}
}

func TestABrokenFileIsAsNone(t *testing.T) {
	c := newClass(t)
	c.learned()
	c.save()
	good, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{string(good): true, "x": false, "": false} {
		os.WriteFile(c.file, []byte(text), 0o600)
		short := false
		learn(nil, func(k journal.Kind, s bool) { short = s && k == 7 }, history.Limit, c.file)
		if short != want {
			t.Errorf("%q: %v", text, short)
		}
	}
	os.Remove(c.file)
	os.Mkdir(c.file, 0o700)
	learn(nil, nil, history.Limit, c.file).save()
	(&learning{learner: history.New(0, nil), file: ""}).save()
	(*learning)(nil).save()
}
