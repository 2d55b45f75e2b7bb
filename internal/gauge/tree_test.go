package gauge

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestKillsAreThoseOfTheNearestGroupThatTells(t *testing.T) {
	for _, tt := range []struct {
		name string
		host []string
		want int64
		ok   bool
	}{
		{"nothing is known", nil, 0, false},
		{"no group", []string{"proc/vmstat", "nr_free_pages 5\noom_kill 7\n"}, 7, true},
		{"v2", []string{"proc/vmstat", "oom_kill 7\n", info, mountV2, mine, "0::/a/b\n", "sys/fs/cgroup/a/b/memory.events", "low 0\noom 9\noom_kill 3\n",
			"sys/fs/cgroup/a/memory.events", "oom_kill 5\n"}, 3, true},
		{"v2, without the controller in the own group", []string{"proc/vmstat", "oom_kill 7\n", info, mountV2, mine, "0::/a/b\n",
			"sys/fs/cgroup/a/memory.events", "oom_kill 5\n"}, 5, true},
		{"v1", []string{info, mountHybrid, mine, "1:memory:/s\n", "sys/fs/cgroup/memory/s/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"}, 2, true},
	} {
		h := host(tt.host...)
		if n, ok := kills(h, groups(h, "memory")); n != tt.want || ok != tt.ok {
			t.Errorf("%s: %d, %v; want %d, %v", tt.name, n, ok, tt.want, tt.ok)
		}
	}
}

func TestStallsAreThoseOfAllAtOnce(t *testing.T) {
	const text = "some avg10=50.00 avg60=1.00 avg300=0.00 total=9\nfull avg10=12.50 avg60=0.00 avg300=0.00 total=3\n"
	for _, tt := range []struct {
		host []string
		want float64
	}{
		{nil, 0},
		{[]string{"proc/pressure/memory", text}, 0.125},
		{[]string{"proc/pressure/memory", "full avg10=x\n"}, 0},
		{[]string{info, mountV2, mine, "0::/a\n", "sys/fs/cgroup/a/memory.pressure", text, "proc/pressure/memory", "full avg10=99.0 x\n"}, 0.125},
	} {
		h := host(tt.host...)
		if got := stalled(h, groups(h, "memory")); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.host, got, tt.want)
		}
	}
}

// A child with 80 MiB of its own and its twin by fork, which has the same pages.
func TestMemoryThatProcessesShareCountsOnce(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here")
	}
	const script = `import os, sys
b = bytearray(os.urandom(1)) * (80 << 20)
if os.fork() == 0: print(os.getpid(), flush=True)
sys.stdin.read()`
	cmd := exec.Command(python, "-c", script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	var line [32]byte
	n, err := out.Read(line[:])
	if err != nil {
		t.Fatal(err)
	}
	twin := int(integer(line[:n-1]))
	one, both := Resident([]int{cmd.Process.Pid}), Resident([]int{cmd.Process.Pid, twin})
	if one < 80<<20 || one > 120<<20 || both < one || both > 140<<20 {
		t.Errorf("one has %d MiB, both have %d MiB", one>>20, both>>20)
	}
	if got := Resident([]int{1 << 30, -1}); got != 0 {
		t.Errorf("nobody has %d", got)
	}
}

func TestCPUTimeIsThatOfTheKernel(t *testing.T) {
	for deadline := time.Now().Add(10 * time.Second); ; {
		if used, _, ok := CPU(os.Getpid()); !ok || used >= 30*time.Millisecond {
			if !ok || used > time.Minute {
				t.Errorf("%v, %v", used, ok)
			}
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%v after 10 s of work", used)
		}
	}
	if used, _, ok := CPU(1 << 30); ok {
		t.Errorf("nobody has used %v", used)
	}
}

func TestWhoHasEndedStillTellsUntilItIsWaitedFor(t *testing.T) {
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exit 3")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20000); n != 1 {
		t.Fatal(n, err)
	}
	if used, status, ok := CPU(cmd.Process.Pid); !ok || used == 0 || status.ExitStatus() != 3 {
		t.Errorf("%v, %v, %v", used, status.ExitStatus(), ok)
	}
}

func BenchmarkResident(b *testing.B) {
	pids := []int{os.Getpid()}
	b.ReportAllocs()
	for b.Loop() {
		Resident(pids)
	}
}
