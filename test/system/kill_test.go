package system_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mexec/test/hosts"
)

// hardy is a job whose processes are hard to find and hard to end: they leave session and parent, fork all the time, hold the job's
// output and ignore every polite signal. Only its first process can be interrupted. It makes the file $1 when all of them are there.
const hardy = `
leaf='trap "" HUP INT QUIT TERM; while :; do sleep 0.05; done'
setsid sh -c "$leaf" &
(setsid sh -c "$leaf" &)
(sh -c "$leaf" &)
sh -c "$leaf" &
trap '' HUP TERM
: >"$1"
while :; do sleep 0.05; done`

// promised is how soon nothing of a job may be left; keepAlive how soon two nodes notice that the network between them is gone.
const (
	promised  = time.Second
	keepAlive = 5 * time.Second
)

// network is the network namespace of a host: what it runs is known by it, whatever becomes of sessions and parents.
func network(h *hosts.Host) string {
	ns, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", h.Daemon()))
	return ns
}

// living lists the processes in a network that have a word in their environment.
func living(network, word string) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		if ns, _ := os.Readlink(dir + "/ns/net"); ns != network {
			continue
		}
		if env, _ := os.ReadFile(dir + "/environ"); bytes.Contains(env, []byte(word)) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}

// tree is a hardy job of node1 that runs on another node.
type tree struct {
	t      *testing.T
	worker string // its network
	mark   string
	caller *exec.Cmd
	said   bytes.Buffer
	ended  chan time.Time // when the caller ended
}

// plant starts a command that leads to a hardy job, and waits until the whole job is there. up is the file that the job makes. Where a
// keyboard is wanted, the command has a terminal.
func plant(t *testing.T, caller *exec.Cmd, worker *hosts.Host, up string, keyboard **os.File) *tree {
	t.Helper()
	p := &tree{t: t, worker: network(worker), mark: up, caller: caller, ended: make(chan time.Time, 1)}
	caller.Env = append(caller.Env, "MEXEC_TEST_TREE="+up)
	if keyboard != nil {
		*keyboard = terminal(t, caller)
	} else {
		caller.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		caller.Stdout, caller.Stderr = &p.said, &p.said
		if err := caller.Start(); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		caller.Wait()
		p.ended <- time.Now()
	}()
	t.Cleanup(func() { // of a test that failed
		caller.Process.Kill()
		for _, pid := range living(p.worker, p.mark) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	eventually(t, "the job runs on "+worker.Name, func() bool {
		_, err := os.Stat(up)
		return err == nil && len(living(p.worker, p.mark)) >= 5
	})
	return p
}

// onNode2 plants a hardy job on node2 by mexec on node1.
func onNode2(t *testing.T, node1, node2 *hosts.Host) *tree {
	t.Helper()
	up := filepath.Join(t.TempDir(), "up")
	return plant(t, node1.Command("mexec", "-n", "node2", "sh", "-c", hardy, "hardy", up), node2, up, nil)
}

// goneBy fails the test unless every process of the job is gone by then. What forks could slip through one look, so it takes two.
func (p *tree) goneBy(deadline time.Time) {
	p.t.Helper()
	for empty := 0; ; {
		now := time.Now()
		left := living(p.worker, p.mark)
		if len(left) > 0 {
			empty = 0
		} else if empty++; empty == 2 {
			return
		}
		if empty == 0 && now.After(deadline) {
			p.t.Fatalf("%d processes are left %v after their time", len(left), now.Sub(deadline))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// end waits for the caller's end and says when it came.
func (p *tree) end() time.Time {
	p.t.Helper()
	select {
	case at := <-p.ended:
		return at
	case <-time.After(20 * time.Second):
		p.t.Fatalf("the caller has not ended; it said %q", p.said.String())
		return time.Time{}
	}
}

// lost fails the test unless the caller ended with our own status and one line that holds all words.
func (p *tree) lost(words ...string) {
	p.t.Helper()
	line := p.said.String()
	if code := p.caller.ProcessState.ExitCode(); code != 125 || strings.Count(line, "\n") != 1 || !strings.HasPrefix(line, "mexec: ") {
		p.t.Errorf("status %d and %q, not 125 and one line of ours", code, line)
	}
	for _, w := range words {
		if !strings.Contains(line, w) {
			p.t.Errorf("%q does not say %q", line, w)
		}
	}
}

// killDaemon kills one of the trio's daemons. A test that fails before it restores it leaves the next ones a whole trio all the same.
func killDaemon(t *testing.T, h *hosts.Host) {
	t.Helper()
	if err := h.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.StartDaemon() }) // where it runs again, this does nothing
}

// restore brings daemons that a test killed back.
func restore(t *testing.T, killed ...*hosts.Host) {
	t.Helper()
	for _, h := range killed {
		if err := h.StartDaemon(); err != nil {
			t.Fatal(err)
		}
	}
	if err := trio.hs.WaitUp(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
}

func TestTheTreeIsGoneWithinOneSecondAfterItsCallerIsKilled(t *testing.T) {
	node1, node2, _ := three(t)
	p := onNode2(t, node1, node2)
	start := time.Now()
	p.caller.Process.Kill()
	p.goneBy(start.Add(promised))
	p.end()
}

func TestTheTreeIsGoneWithinOneSecondAfterAnInterruptOfTheCallersGroup(t *testing.T) {
	node1, node2, _ := three(t)
	p := onNode2(t, node1, node2)
	start := time.Now()
	if err := syscall.Kill(-p.caller.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.goneBy(start.Add(promised))
	p.end()
	if s := ended(p.caller.ProcessState); s != syscall.SIGINT {
		t.Errorf("%v, not the death by SIGINT that the program died", p.caller.ProcessState)
	}
}

func TestCtrlCAtATerminalEndsTheBuildItsTreesAndItsHalfMadeTargets(t *testing.T) {
	node1, node2, _ := three(t)
	dir := t.TempDir()
	up, target := filepath.Join(dir, "up"), filepath.Join(dir, "target")
	write(t, filepath.Join(dir, "hardy.sh"), hardy)
	write(t, filepath.Join(dir, "Makefile"), "target:\n\techo half >$@; sh hardy.sh "+up+"\n")

	cmd := node1.Command("mpmake", "-j2")
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "NODES=node2")
	var keyboard *os.File
	p := plant(t, cmd, node2, up, &keyboard)
	start := time.Now()
	if _, err := keyboard.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	p.goneBy(start.Add(promised))
	p.end()
	if s := ended(cmd.ProcessState); s != syscall.SIGINT {
		t.Errorf("mpmake ended with %v; make dies of SIGINT", cmd.ProcessState)
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("the half-made target is still there")
	}
}

func TestTheTreeIsGoneWithinOneSecondAfterTheHomeDaemonIsKilled(t *testing.T) {
	node1, node2, _ := three(t)
	p := onNode2(t, node1, node2)
	start := time.Now()
	killDaemon(t, node1)
	p.goneBy(start.Add(promised))
	if late := p.end().Sub(start); late > promised {
		t.Errorf("the caller ended after %v", late)
	}
	p.lost("sh: lost", ": the daemon of this node went away") // on node2, where the job had to wait and its stub was told
	restore(t, node1)
}

func TestTheTreeIsGoneWithinOneSecondAfterTheWorkerDaemonIsKilled(t *testing.T) {
	node1, node2, _ := three(t)
	p := onNode2(t, node1, node2)
	start := time.Now()
	killDaemon(t, node2)
	p.goneBy(start.Add(promised))
	if late := p.end().Sub(start); late > promised {
		t.Errorf("the caller ended after %v", late)
	}
	p.lost("sh: lost on node2")
	restore(t, node2)
}

func TestBothSidesGiveUpWithinTheKeepAliveAfterTheNetworkIsCut(t *testing.T) {
	node1, node2, _ := three(t)
	p := onNode2(t, node1, node2)
	start := time.Now()
	if err := node2.Cut(); err != nil {
		t.Fatal(err)
	}
	p.goneBy(start.Add(keepAlive + promised))
	t.Logf("the worker killed the job after %v", time.Since(start))
	late := p.end().Sub(start)
	t.Logf("the caller ended after %v", late)
	if late > keepAlive+promised {
		t.Errorf("the caller ended after %v", late)
	}
	p.lost("sh: lost on node2", "keep-alive")
	if err := node2.Heal(); err != nil {
		t.Fatal(err)
	}
	if err := trio.hs.WaitUp(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
}

// Who would have a daemon read its file anew sends it SIGHUP. That ended it without a word, and the jobs of other nodes with it.
func TestAHangupEndsNeitherTheDaemonNorItsJobs(t *testing.T) {
	node1, node2, _ := three(t)
	dir := t.TempDir()
	guest, gate := filepath.Join(dir, "guest"), filepath.Join(dir, "go")
	end := background(t, node1.Command("mexec", "-n", "2", "sh", "-c", counted, "counted", guest, gate))
	began(t, guest)
	since := len(node2.Log())
	if err := node2.KillDaemon(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	says(t, node2, since, "hangup", "settings are read at the start only")
	write(t, gate, "")
	if r := end(); r.code != 0 {
		t.Errorf("the job: %+v", r)
	}
}
