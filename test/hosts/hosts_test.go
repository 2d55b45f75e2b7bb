package hosts

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be a maker of hosts that is killed; see TestASetEndsWithItsMaker.
func TestMain(m *testing.M) {
	if os.Getenv("HOSTS_TEST_MAKER") == "" {
		os.Exit(m.Run())
	}
	h, err := bareHost()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	pid, err := strayIn(h)
	fmt.Println(pid, h.hosts.Dir, err)
	select {}
}

func bareHost() (*Host, error) {
	hs, err := Start(context.Background(), Config{N: 1, Bare: true})
	if err != nil {
		return nil, err
	}
	return hs.All[0], nil
}

// strayIn starts a process in a host that no process group, session or parent leads to.
func strayIn(h *Host) (int, error) {
	out, err := h.Command("sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root")
	}
}

func gone(pid int) func() bool {
	return func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
}

func bare(t *testing.T, n int) *Hosts { return Test(t, Config{N: n, Bare: true}) }

func TestCloseEndsEveryProcessOfAHost(t *testing.T) {
	needRoot(t)
	hs, err := Start(t.Context(), Config{N: 2, CPU: 0.5, Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strayIn(hs.All[1])
	if err != nil {
		t.Error(err)
	}
	if err := hs.Close(); err != nil {
		t.Error(err)
	}
	if err := Poll(t.Context(), gone(pid)); err != nil {
		t.Errorf("process %d: %v", pid, err)
	}
	leftovers(t, hs.Dir)
}

func TestASetEndsWithItsMaker(t *testing.T) {
	needRoot(t)
	maker := exec.Command(os.Args[0])
	maker.Env = append(os.Environ(), "HOSTS_TEST_MAKER=1")
	out, err := maker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := maker.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	line, _ := bufio.NewReader(out).ReadString('\n')
	_, err = fmt.Sscan(line, &pid, &dir)
	maker.Process.Kill()
	maker.Wait()
	if err != nil {
		t.Fatalf("maker said %q", line)
	}
	if err := Poll(t.Context(), gone(pid)); err != nil {
		t.Errorf("process %d: %v", pid, err)
	}
	bare(t, 1) // sweeps the directories
	leftovers(t, dir)
}

func leftovers(t *testing.T, dir string) {
	t.Helper()
	trees, _, _ := cgroupTrees()
	for _, tree := range append(trees, filepath.Dir(dir)) {
		path := filepath.Join(tree, filepath.Base(dir))
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
}

func TestAHostHasItsOwnNameAndMexecDirectories(t *testing.T) {
	needRoot(t)
	hs := bare(t, 2)
	work := t.TempDir()
	for _, h := range hs.All {
		cmd := h.Command("sh", "-c", "uname -n >/etc/mexec/name; uname -n >$(uname -n); pwd")
		cmd.Dir = work
		out, err := cmd.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != work {
			t.Errorf("%s: %v: %q", h.Name, err, out)
		}
		for _, path := range []string{filepath.Join(h.Dir, "etc/mexec/name"), filepath.Join(work, h.Name)} {
			if b, err := os.ReadFile(path); string(b) != h.Name+"\n" {
				t.Errorf("%s: %q, %v", path, b, err)
			}
		}
	}
	if _, err := os.Stat("/etc/mexec/name"); err == nil {
		t.Error("a host wrote the machine's own /etc/mexec")
	}
}

func TestACutIsSilentAndHeals(t *testing.T) {
	needRoot(t)
	hs := bare(t, 2)
	one, two := hs.All[0], hs.All[1]
	listen(t, two)
	dial := func() error {
		var conn net.Conn
		err := one.hosts.site.network(one, func() {
			var e error
			conn, e = net.DialTimeout("tcp", two.Addr+":9", 300*time.Millisecond)
			if e == nil {
				conn.Close()
			} else if ne, ok := e.(net.Error); !ok || !ne.Timeout() {
				t.Errorf("a cut must look like silence, not like %v", e)
			}
		})
		if err == nil && conn == nil {
			err = errors.New("silence")
		}
		return err
	}
	// A single try of this length may be too short on a machine that is busy.
	if err := Poll(t.Context(), func() bool { return dial() == nil }); err != nil {
		t.Fatal(err)
	}
	if err := two.Cut(); err != nil {
		t.Fatal(err)
	}
	if dial() == nil {
		t.Error("the cut host was reached")
	}
	if err := two.Heal(); err != nil {
		t.Fatal(err)
	}
	if err := Poll(t.Context(), func() bool { return dial() == nil }); err != nil {
		t.Error(err)
	}
}

func TestTwoSetsDoNotMeet(t *testing.T) {
	needRoot(t)
	a, b := bare(t, 1), bare(t, 1)
	listen(t, a.All[0])
	if conn, err := b.All[0].Dial("tcp", a.All[0].Addr+":9"); err == nil {
		conn.Close()
		t.Error("one set reached the other")
	}
	if a.All[0].Addr != b.All[0].Addr {
		t.Error("sets are alike, down to the addresses")
	}
}

func listen(t *testing.T, h *Host) {
	t.Helper()
	err := h.hosts.site.network(h, func() {
		l, err := net.Listen("tcp", h.Addr+":9")
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { l.Close() })
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheCPUOfAHostIsLimited(t *testing.T) {
	needRoot(t)
	hs := Test(t, Config{N: 1, CPU: 0.2, Bare: true})
	cmd := hs.All[0].Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")
	start := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if share := used.Seconds() / time.Since(start).Seconds(); share > 0.35 {
		t.Errorf("a host of 0.2 CPUs used %.2f", share)
	}
}

func TestHostsAreOneClusterAndNumberedAlike(t *testing.T) {
	for name, loopback := range map[string]bool{"namespaces": false, "loopback": true} {
		t.Run(name, func(t *testing.T) {
			if !loopback {
				needRoot(t)
			}
			hs := Test(t, Config{N: 3, Loopback: loopback})
			if err := hs.WaitUp(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			for _, h := range hs.All {
				nodes, err := h.Nodes(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range nodes {
					if string(n.Name) != fmt.Sprintf("node%d", n.Number) {
						t.Errorf("%s has number %d on %s", n.Name, n.Number, h.Name)
					}
				}
			}
		})
	}
}

func TestADaemonComesBackUnderItsName(t *testing.T) {
	hs := Test(t, Config{N: 2})
	h := hs.All[1]
	first := h.Daemon()
	if err := h.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if h.Daemon() != 0 || h.KillDaemon(syscall.SIGTERM) == nil {
		t.Error("a killed daemon is still spoken of")
	}
	if err := h.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	if h.Daemon() == first {
		t.Error("the new daemon is the old one")
	}
	if err := hs.WaitUp(t.Context(), 2); err != nil {
		t.Error(err)
	}
}

func TestLoopbackCommandsMeetTheirOwnDaemon(t *testing.T) {
	hs := Test(t, Config{N: 2, Bare: true, Loopback: true})
	for _, h := range hs.All {
		out, err := h.Command("sh", "-c", "echo $MEXEC_SOCKET").Output()
		if err != nil || strings.TrimSpace(string(out)) != h.OutsideSocket() {
			t.Errorf("%s: %q, %v", h.Name, out, err)
		}
	}
	if hs.All[0].Addr == hs.All[1].Addr {
		t.Error("two hosts have one address")
	}
	if hs.All[0].Cut() == nil {
		t.Error("a loopback host cannot be cut and must say so")
	}
}

func TestWhatIsIgnoredHereIsNotIgnoredByCommands(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	hs := Test(t, Config{N: 1, Bare: true, Loopback: true})
	err := hs.All[0].Command("sh", "-c", "kill -HUP $$").Run()
	if died := (*exec.ExitError)(nil); !errors.As(err, &died) || died.Sys().(syscall.WaitStatus).Signal() != syscall.SIGHUP {
		t.Errorf("%v", err)
	}
}
