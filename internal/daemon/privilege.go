package daemon

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mexec/internal/wire"
)

// privilege says what the caller has, or says that it has, that no other node can give to its user; empty: nothing. What a stub says
// is only its word: whoever writes a frame by hand must not get on another node what the kernel would deny him here.
func privilege(e *wire.ExecBody, uid uint32) string {
	s := e.Sched
	switch {
	case e.Special&wire.Capabilities != 0:
		return "it has capabilities of its own"
	case e.Securebits != 0:
		return "it has securebits"
	case s.Policy >= wire.Deadline:
		return "its scheduling class is of this node"
	case uid == 0:
		return ""
	case s.Policy == wire.FIFO || s.Policy == wire.RoundRobin:
		return "it runs in real time"
	case s.IOPrio>>13 == wire.RealTimeIO:
		return "its input and output is in real time"
	case e.Nice < 0:
		return "it is nicer to itself than a user may be"
	case s.OOMScoreAdj < 0:
		return "it is protected from running out of memory"
	}
	return ""
}

// overstated says whether the caller claims more than the kernel has set as its hard limits: on another node root would raise them for it.
func overstated(e *wire.ExecBody, pid int) string {
	own, err := hardLimits(pid)
	if err != nil {
		return "its limits can't be seen: " + err.Error()
	}
	for i, claimed := range e.Rlimit {
		if claimed[1] > own[i] {
			return "it claims other limits than it has"
		}
	}
	return ""
}

// hardLimits are those of a process. Root in a container may be without CAP_SYS_RESOURCE, which prlimit wants for another user's process; the file
// in /proc is for everybody, and is read only then.
func hardLimits(pid int) (hard [16]uint64, err error) {
	for i := range hard {
		var own unix.Rlimit
		if err := unix.Prlimit(pid, i, nil, &own); err == unix.EPERM {
			return readLimits(pid)
		} else if err != nil {
			return hard, os.NewSyscallError("prlimit", err)
		}
		hard[i] = own.Max
	}
	return hard, nil
}

// readLimits reads them from the text of proc_pid_limits(5): a line for each after the first, in the order of their numbers, and in each behind a name
// of 26 columns the soft and the hard one.
func readLimits(pid int) (hard [16]uint64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		return hard, err
	}
	lines := strings.Split(string(text), "\n")
	for i := range hard {
		var f []string
		if i+1 < len(lines) && len(lines[i+1]) > 26 {
			f = strings.Fields(lines[i+1][26:])
		}
		switch {
		case len(f) < 2:
			return hard, fmt.Errorf("/proc/%d/limits: not as it should be", pid)
		case f[1] == "unlimited":
			hard[i] = unix.RLIM_INFINITY
		default:
			if hard[i], err = strconv.ParseUint(f[1], 10, 64); err != nil {
				return hard, err
			}
		}
	}
	return hard, nil
}
