package trace

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mexec/internal/policy"
)

// follow follows what a script starts, from before it executes the program.
func (b bench) follow(t *testing.T, program ...string) end {
	t.Helper()
	for _, fifo := range []string{"ready", "go"} {
		if err := syscall.Mkfifo(filepath.Join(b.dir, fifo), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := b.file(t, "parent", "#!/bin/sh\nsh -c 'echo $$ >ready; read x <go; exec \"$@\"' sh \"$@\" &\nwait $!\necho ended $?\n")
	cmd := b.command(t, script, program...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, err := os.ReadFile(filepath.Join(b.dir, "ready"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(ready)))
	if err != nil {
		t.Fatal(err)
	}
	rules := append(policy.Policy{{Verdict: policy.Drives, Pattern: "tool"}}, policy.Own()...)
	if err := Follow(pid, Driver{Rules: rules, Stub: b.stub}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "go"), []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	out, _ := os.ReadFile(filepath.Join(b.dir, "out"))
	notes, _ := os.ReadFile(filepath.Join(b.dir, "notes"))
	return end{out: string(out), notes: string(notes)}
}

func TestADriverThatAnotherProcessHasStartedIsFollowed(t *testing.T) {
	b := newBench(t)
	got := b.follow(t, tool(t), "run", "sh", "-c", "exit 7", "x", ";", "sh", "-c", "kill -9 $$")
	sh, _ := exec.LookPath("sh")
	if got.out != "exit 7\nsignal killed\nended 0\n" || !slices.Equal(got.noted(), []string{sh + " as sh: -c exit 7 x", sh + " as sh: -c kill -9 $$"}) {
		t.Errorf("%+v", got)
	}
}

// It is what it executes that counts, and not who asked.
func TestAProgramThatIsNoDriverIsNotFollowed(t *testing.T) {
	b := newBench(t)
	got := b.follow(t, busybox(t), "sh", "-c", "/bin/sh -c 'exit 7'; exit $?")
	if got.out != "ended 7\n" || got.notes != "" {
		t.Errorf("%+v", got)
	}
}

func TestAStaticShellIsFollowedToTheDriverInItsLine(t *testing.T) {
	b := newBench(t)
	shell := filepath.Join(b.dir, "sh")
	if err := os.Symlink(busybox(t), shell); err != nil {
		t.Fatal(err)
	}
	got := b.follow(t, shell, "-c", "/bin/sh -c 'exit 1'; "+tool(t)+" run sh -c 'exit 7'; exit 3")
	sh, _ := exec.LookPath("sh")
	if got.out != "exit 7\nended 3\n" || !slices.Equal(got.noted(), []string{sh + " as sh: -c exit 7"}) {
		t.Errorf("%+v", got)
	}
}

func TestWhatCannotBeFollowedIsAnError(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if err := Follow(cmd.Process.Pid, Driver{}); !errors.Is(err, ErrNotAllowed) || !errors.Is(err, syscall.ESRCH) {
		t.Errorf("%v", err)
	}
}
