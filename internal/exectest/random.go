package exectest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
)

// Random is a caller in a state, and a program that it executes, made of nothing but rnd. Its directory holds what Furnish puts there.
func Random(rnd *rand.Rand) Call {
	var c Call
	maybe := func(odds int, words ...any) {
		if rnd.IntN(odds) == 0 {
			for _, w := range words {
				c.Setup = append(c.Setup, fmt.Sprint(w))
			}
		}
	}
	signal := func() int {
		for {
			if n := 1 + rnd.IntN(highest); n != 9 && n != 19 {
				return n
			}
		}
	}

	maybe(2, "umask", rnd.IntN(0o1000))
	maybe(3, "chdir", "DIR/"+[]string{"below", "link", "below/a \xff\n b", "closed"}[rnd.IntN(4)])
	for range rnd.IntN(4) {
		maybe(1, "ignore", signal())
	}
	for range rnd.IntN(4) {
		maybe(1, "block", signal())
	}
	for range rnd.IntN(3) {
		maybe(1, "catch", signal())
	}
	for n, room := range []int{1000, 1 << 30, 1 << 40, 64 << 20, 1 << 20, 1 << 40, 50_000, 5000, 1 << 20, 1 << 41, 99, 9999, 1 << 20, 39, 98, 999_999} {
		least := map[int]int{1: 1 << 20, 2: 256 << 20, 3: 1 << 20, 6: 5000, 7: 50, 8: 1 << 16, 9: 512 << 20, 15: 1000, 0: 100}[n]
		hard := least + rnd.IntN(room)
		maybe(4, "rlimit", n, least+rnd.IntN(hard-least+1), hard)
	}
	maybe(3, "nice", rnd.IntN(20))
	maybe(4, "sched", []int{0, 3, 5}[rnd.IntN(3)], 0, rnd.IntN(2))
	realTime := rnd.IntN(8) == 0 // which is for root
	if realTime {
		maybe(1, "sched", 1+rnd.IntN(2), 1+rnd.IntN(50), rnd.IntN(2))
	}
	maybe(4, "ioprio", []int{0x4000 + rnd.IntN(8), 0x6000, 0}[rnd.IntN(3)])
	maybe(4, "oom", rnd.IntN(1001))
	maybe(5, "personality", []int{0x40000, 0x400000, 0x200000, 0x20000, 0x8, 0x240000}[rnd.IntN(6)])
	maybe(5, "slack", 1+rnd.IntN(1<<30))
	maybe(6, "cpus", 1+rnd.IntN(2))
	maybe(6, "nnp")
	maybe(9, "prctl", 36, 1) // a subreaper
	maybe(9, "prctl", 41, 1) // without huge pages
	maybe(6, "setpgid")
	mute := false // a mexec without stderr cannot say which errno it was
	for fd := range 3 {
		switch rnd.IntN(8) {
		case 0:
			maybe(1, "close", fd)
			mute = mute || fd == 2
		case 1:
			maybe(1, "open", fd, "/dev/null", rnd.IntN(3), 0)
			mute = mute || fd == 2
		}
	}
	if rnd.IntN(2) == 0 && !realTime {
		gid, uid := rnd.IntN(70000), 1+rnd.IntN(70000)
		maybe(1, "groups", list(rnd.IntN(20)), "gid", gid, gid, gid)
		maybe(1, "uid", uid, uid, uid)
	}

	text := func() string {
		b := make([]byte, rnd.IntN(20))
		if rnd.IntN(50) == 0 {
			b = make([]byte, rnd.IntN(100_000))
		}
		for i := range b {
			if b[i] = byte(1 + rnd.IntN(255)); rnd.IntN(2) == 0 {
				b[i] = byte('a' + rnd.IntN(26))
			}
		}
		return string(b)
	}
	c.Argv = []string{"", "x", "DIR/probe", "-sh", text()}[rnd.IntN(5):][:1]
	for range rnd.IntN(10) {
		c.Argv = append(c.Argv, text())
	}
	for range rnd.IntN(20) {
		c.Env = append(c.Env, []string{text(), text() + "=" + text(), fmt.Sprintf("V%d=%s", rnd.IntN(5), text())}[rnd.IntN(3)])
	}
	c.Path = []string{"", "", "./probe", "DIR/link-to-probe", "DIR/script", "DIR/none", "DIR/text", "DIR/plain"}[rnd.IntN(8)]
	if c.Path == "./probe" {
		c.Setup = append(c.Setup, "chdir", "DIR")
	}
	if mute {
		c.Path = ""
	}
	switch rnd.IntN(6) {
	case 0:
		c.Env = append(c.Env, fmt.Sprint("PROBE=tell exit ", rnd.IntN(256)))
	case 1:
		c.Env = append(c.Env, fmt.Sprint("PROBE=tell die ", []int{1, 2, 3, 6, 9, 11, 13, 15, 34, 64}[rnd.IntN(10)]))
	case 2:
		c.Env = append(c.Env, fmt.Sprint("PROBE=tell interleave ", rnd.IntN(100)))
	}
	return c
}

// furnish puts into a test's directory what the calls of Random name.
func (s *stage) furnish() error {
	for _, dir := range []string{"below", "below/a \xff\n b", "closed"} {
		if err := mkdir(s.path(dir), 0o777); err != nil {
			return err
		}
	}
	for link, to := range map[string]string{"link": "below", "link-to-probe": "probe"} {
		if err := os.Symlink(to, s.path(link)); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"script": "#!" + s.path("probe") + " one argument\n", "text": "exit 3\n"} {
		if err := writeProgram(s.path(name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(s.path("plain"), nil, 0o644)
}

// RunRandom makes the calls of Random by the seeds from first, each step-th of them, below end: each by the kernel and by r. It stops at the
// first that differs.
func (r Runner) RunRandom(t *testing.T, first, end, step uint64) {
	r.test = "random"
	s := newStage(t, r)
	if err := s.furnish(); err != nil {
		t.Fatal(err)
	}
	for seed := first; seed < end; seed += step {
		c := Random(rand.New(rand.NewPCG(seed, 0)))
		want, got := s.run(c, s.kernel()), s.run(c, r)
		if n := r.Report.compare(t, r.test, r.Name, want, got); n > 0 {
			t.Fatalf("seed %d: %d differences: %.1500q executes %.200q %.500q", seed, n, c.Setup, c.Path, c.Argv)
		}
	}
}
