// Package stress_test breaks whole systems at moments that nobody chose: interrupts of builds, deaths of daemons, kills of whatever a build is
// made of. Each test draws from a seed that it prints; -seed gives it again. With -short there are some draws, else as many as docs/interrupts.md
// tells of.
//
// What a draw leaves is looked for from outside: whatever a build starts has the name of its directory in its environment, and /proc knows every
// process of every host.
package stress_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mexec"
	"mexec/test/hosts"
)

// promised is how soon nothing of a build that was interrupted may be left.
const promised = time.Second

var seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of all draws")

// draws says how many draws there are and gives what to draw from.
func draws(t *testing.T, short, full int) (n int, random *rand.Rand) {
	t.Helper()
	n = full
	if testing.Short() {
		n = short
	}
	t.Logf("-seed %d: %d draws", *seed, n)
	return n, rand.New(rand.NewPCG(*seed, 0))
}

// quartet is one set of hosts that all tests use one after the other: each leaves it as it was.
var quartet struct {
	once sync.Once
	hs   *hosts.Hosts
	err  error
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if quartet.hs != nil {
		if err := quartet.hs.Close(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

// four returns four hosts of three slots, which are up. The first is where commands are given.
func four(t *testing.T) []*hosts.Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("hosts with a network of their own need root")
	}
	quartet.once.Do(func() {
		quartet.hs, quartet.err = hosts.Start(t.Context(), hosts.Config{N: 4, Slots: 3, Flags: []string{"--debug"}, Bin: os.Getenv("MEXEC_TEST_BIN")})
	})
	if quartet.err != nil {
		t.Fatal(quartet.err)
	}
	if err := quartet.hs.WaitUp(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	quartet.hs.Tell(t, 2000)
	return quartet.hs.All
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// marked is what goes into the environment of a build, so that living finds its processes.
func marked(dir string) string { return "MEXEC_TEST_TREE=" + dir + "." }

// living lists the processes on all hosts that descend from a build in a directory.
func living(dir string) (pids []int) {
	word := []byte(marked(dir))
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if env, _ := os.ReadFile("/proc/" + e.Name() + "/environ"); bytes.Contains(env, word) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// describe tells of processes what a person wants to know who finds them where they should not be.
func describe(pids []int) string {
	var lines []string
	for _, pid := range pids {
		proc := fmt.Sprintf("/proc/%d/", pid)
		args, _ := os.ReadFile(proc + "cmdline")
		stat, _ := os.ReadFile(proc + "stat")
		group, _ := os.ReadFile(proc + "cgroup")
		status, _ := os.ReadFile(proc + "status")
		signals := regexp.MustCompile(`(?m)^(ShdPnd|SigBlk|SigIgn|SigCgt):\t0*`).ReplaceAllString(string(status), "=$1 ")
		signals = strings.Join(regexp.MustCompile(`(?m)^=.*`).FindAllString(signals, -1), " ")
		_, after, _ := bytes.Cut(stat, []byte(") "))
		lines = append(lines, fmt.Sprintf("%d: %.60q state, parent, group, session %.22s in %s %s", pid, bytes.ReplaceAll(args, []byte{0}, []byte{' '}),
			after, path.Base(strings.TrimSpace(string(group))), signals))
	}
	return strings.Join(lines, "\n")
}

// gone waits until nothing of the build in dir is left, and says when that was; or until b, if it is not nil, has succeeded. What forks could slip through one look, so it takes two.
func gone(t *testing.T, dir string, b *build) (at time.Time) {
	t.Helper()
	late := time.Now().Add(5 * promised)
	told := time.Now().Add(promised)
	for empty := 0; ; {
		now := time.Now()
		left := living(dir)
		if b != nil && b.succeeded() {
			return now
		}
		if len(left) == 0 {
			if empty++; empty == 1 {
				at = now
			} else {
				return at
			}
		} else {
			empty = 0
		}
		if len(left) > 0 && now.After(told) {
			t.Logf("left a second after:\n%s", describe(left))
			told = late
		}
		if now.After(late) {
			t.Errorf("%d processes were still there and were killed", len(left))
			for _, pid := range left {
				syscall.Kill(pid, syscall.SIGKILL)
			}
			return now
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// idle fails the test unless no node's slot is held, now or soon: the news of an end may be on its way.
func idle(t *testing.T) {
	t.Helper()
	var busy []string
	err := hosts.Poll(t.Context(), func() bool {
		busy = nil
		for _, h := range quartet.hs.All {
			nodes, err := h.Nodes(t.Context())
			if err != nil {
				busy = append(busy, err.Error())
			}
			for _, n := range nodes {
				if n.State == mexec.Self && n.Busy != 0 {
					busy = append(busy, fmt.Sprintf("%s: %d", n.Name, n.Busy))
				}
			}
		}
		return len(busy) == 0
	})
	if err != nil {
		t.Errorf("slots are held: %v", busy)
	}
}

// times are durations of which a person wants three.
type times []time.Duration

func (l times) String() string {
	if len(l) == 0 {
		return "none"
	}
	s := slices.Sorted(slices.Values(l))
	return fmt.Sprintf("min %v, median %v, max %v", s[0].Round(time.Millisecond), s[len(s)/2].Round(time.Millisecond), s[len(s)-1].Round(time.Millisecond))
}
