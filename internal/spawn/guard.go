package spawn

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// guard is a process that outlives this one for as long as it takes to kill the jobs (libmexec/guard.c).
type guard struct {
	pid  int
	pipe int // nobody writes to it: that we hold it is all there is to say
}

func startGuard(stage, dir string) (*guard, error) {
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	none := ^uintptr(0)
	pid, err := syscall.ForkExec(stage, []string{"mexec-stage", "--guard", dir}, &syscall.ProcAttr{
		Env:   []string{},
		Files: []uintptr{none, none, none, uintptr(pipe[0])},
	})
	syscall.Close(pipe[0])
	if err != nil {
		syscall.Close(pipe[1])
		return nil, fmt.Errorf("guard: start %s: %w", stage, err)
	}
	return &guard{pid: pid, pipe: pipe[1]}, nil
}

// close lets the guard go. One that has nothing to do is waited for; one that has goes on until the groups are gone.
func (g *guard) close(idle bool) error {
	syscall.Close(g.pipe)
	if !idle {
		return nil
	}
	for {
		_, err := syscall.Wait4(g.pid, nil, 0, nil)
		if err != unix.EINTR {
			return err
		}
	}
}
