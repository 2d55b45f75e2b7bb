package system_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mexec"
	"mexec/test/hosts"
)

// The Go API, called by this test's own process, which is a caller of node1's by its socket. The commands run on node2.

// away is a command by the API.
func away(t *testing.T, node *hosts.Host, ctx context.Context, name string, arg ...string) *exec.Cmd {
	t.Helper()
	cmd := mexec.Options{Nodes: "2", Stub: filepath.Join(node.Bin(), "mexec")}.CommandContext(ctx, name, arg...)
	cmd.Env = append(os.Environ(), "MEXEC_SOCKET="+node.OutsideSocket())
	cmd.Dir = t.TempDir()
	return cmd
}

func TestPipesOfACommandOfTheGoAPIReachTheOtherNode(t *testing.T) {
	node1, _, _ := three(t)
	cmd := away(t, node1, t.Context(), "sh", "-c", "cat /proc/sys/kernel/hostname; cat; echo end >&2")
	var errs strings.Builder
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := start(t, cmd)
	if l := line(t, out); l != "node2" {
		t.Errorf("it runs on %s", l)
	}
	io.WriteString(in, "to and fro\n") // and back, while stdin is open
	if l := line(t, out); l != "to and fro" {
		t.Errorf("it says %q", l)
	}
	in.Close()
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	if err := cmd.Wait(); err != nil || errs.String() != "end\n" {
		t.Errorf("%v, %q", err, errs.String())
	}
}

func TestTheProcessStateOfTheGoAPIIsTheProgramsEnd(t *testing.T) {
	node1, _, _ := three(t)
	for script, want := range map[string]string{
		"exit 0":        "exit status 0",
		"exit 42":       "exit status 42",
		"kill -TERM $$": "signal: terminated",
		"kill -KILL $$": "signal: killed",
	} {
		cmd := away(t, node1, t.Context(), "sh", "-c", "read node </proc/sys/kernel/hostname; [ $node = node2 ] || exit 99; "+script)
		err := cmd.Run()
		if got := cmd.ProcessState.String(); got != want || (err == nil) != (script == "exit 0") {
			t.Errorf("%s: %s, %v", script, got, err)
		}
	}
}

func TestWhatCannotBeStartedIsAnErrorOfStartInTheGoAPI(t *testing.T) {
	node1, _, _ := three(t)
	for name, want := range map[string]error{
		"no-such-program":  exec.ErrNotFound,
		"/no/such/program": syscall.ENOENT,
		"/etc/passwd":      syscall.EACCES,
	} {
		if err := away(t, node1, t.Context(), name).Start(); !errors.Is(err, want) {
			t.Errorf("%s: %v, not %v", name, err, want)
		}
	}
}

// deafTree starts a shell and its child on node2, both deaf to SIGTERM, and returns their pids.
func deafTree(t *testing.T, cmd *exec.Cmd) []string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return strings.Fields(line(t, bufio.NewReader(out)))
}

const deaf = `trap "" TERM; sleep 1000 & echo $$ $!; wait`

func allGone(t *testing.T, pids []string) {
	t.Helper()
	eventually(t, "the command's processes are gone", func() bool {
		for _, pid := range pids {
			if state(pid) != 0 {
				return false
			}
		}
		return true
	})
}

func TestCancelOfTheGoAPIKillsTheRemoteTree(t *testing.T) {
	node1, _, _ := three(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := away(t, node1, ctx, "sh", "-c", deaf)
	pids := deafTree(t, cmd)
	cancel()
	if err := cmd.Wait(); err == nil || ended(cmd.ProcessState) != syscall.SIGKILL {
		t.Errorf("%v", err)
	}
	allGone(t, pids)
}

func TestWaitDelayOfTheGoAPIEndsWhatIgnoresItsSignal(t *testing.T) {
	node1, _, _ := three(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := away(t, node1, ctx, "sh", "-c", deaf)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 100 * time.Millisecond
	pids := deafTree(t, cmd)
	cancel()
	if err := cmd.Wait(); err == nil || ended(cmd.ProcessState) != syscall.SIGKILL {
		t.Errorf("%v", err)
	}
	allGone(t, pids)
}

func TestASignalOfTheGoAPIReachesTheProgram(t *testing.T) {
	node1, _, _ := three(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := away(t, node1, ctx, "sh", "-c", `trap "exit 7" TERM; echo $$; while :; do sleep 0.01; done`)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	deafTree(t, cmd)
	cancel()
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit status %d", code)
	}
}
