package daemon

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"mexec/internal/wire"
)

func TestLimitsThatTheCallerDoesNotHaveAreNotBelieved(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	pid := cmd.Process.Pid
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: 64}, nil); err != nil {
		t.Fatal(err)
	}
	// Where prlimit is not for us, as for a user's process in a container, all users' commands would stay at home.
	hard, err := hardLimits(pid)
	if err != nil {
		t.Fatal(err)
	}
	if read, err := readLimits(pid); err != nil || read != hard {
		t.Errorf("%v: %v, the kernel says %v", err, read, hard)
	}
	honest := &wire.ExecBody{}
	for i := range honest.Rlimit {
		var own unix.Rlimit
		if err := unix.Prlimit(pid, i, nil, &own); err != nil {
			t.Fatal(err)
		}
		honest.Rlimit[i] = [2]uint64{own.Cur, own.Max}
	}
	if why := overstated(honest, pid); why != "" {
		t.Error(why)
	}
	for _, forged := range [][2]uint64{{64, 65}, {0, unix.RLIM_INFINITY}} {
		e := *honest
		e.Rlimit[unix.RLIMIT_NOFILE] = forged
		if overstated(&e, pid) == "" {
			t.Errorf("%v was believed", forged)
		}
	}
}
