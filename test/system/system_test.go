// Package system_test holds the promises of mexec on whole systems: the real programs on real test hosts, where each test kills,
// cuts, refuses or breaks for real. One file is one theme; what several of them need is here.
package system_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mexec/test/hosts"
)

// The trio is one set of hosts that many tests use one after the other: each leaves it as it was.
var trio struct {
	once sync.Once
	hs   *hosts.Hosts
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if trio.hs != nil {
		if err := trio.hs.Close(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

// bin is where the programs under test are; empty: what `make` built.
var bin = os.Getenv("MEXEC_TEST_BIN")

// three returns the trio, which is up. node1 is where commands are given.
func three(t *testing.T) (node1, node2, node3 *hosts.Host) {
	t.Helper()
	needRoot(t)
	trio.once.Do(func() {
		trio.hs, trio.err = hosts.Start(t.Context(), hosts.Config{N: 3, Slots: 4, Flags: []string{"--debug"}, Bin: bin})
	})
	if trio.err != nil {
		t.Fatal(trio.err)
	}
	if err := trio.hs.WaitUp(t.Context(), 3); err != nil { // the test before may have ended a daemon and started it again
		t.Fatal(err)
	}
	all := trio.hs.All
	trio.hs.Tell(t, 3000)
	return all[0], all[1], all[2]
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("hosts with a network of their own need root")
	}
}

// result is how a command ended and what it said.
type result struct {
	out, errs string
	code      int
	signal    syscall.Signal
}

// run runs a command to its end, at most a minute.
func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &errs
	}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	if !late.Stop() {
		t.Fatalf("%q: not over after a minute; said %q, %q", cmd.Args, out.String(), errs.String())
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode(), ended(cmd.ProcessState)}
}

// ended is the signal that a process died of, 0 if it exited.
func ended(p *os.ProcessState) syscall.Signal {
	if s := p.Sys().(syscall.WaitStatus); s.Signaled() {
		return s.Signal()
	}
	return 0
}

// sh is a shell command on a host.
func sh(h *hosts.Host, script string, args ...string) *exec.Cmd {
	return h.Command("sh", append([]string{"-c", script, "sh"}, args...)...)
}

// eventually waits until something is so, for as long as a busy machine may need.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !yes(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so after 20 s", what)
		}
	}
}

// says waits until a daemon has logged all words in one line since its log was of a length, and returns that line.
func says(t *testing.T, h *hosts.Host, since int, words ...string) (line string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s logs %q", h.Name, words), func() bool {
		for l := range strings.Lines(h.Log()[since:]) {
			has := true
			for _, w := range words {
				has = has && strings.Contains(l, w)
			}
			if has {
				line = strings.TrimSpace(l)
				return true
			}
		}
		return false
	})
	return line
}

// write makes a file.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
