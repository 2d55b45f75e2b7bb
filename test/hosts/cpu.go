package hosts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is all CPU time that was used inside the host so far, by what has ended too: its daemon, its jobs, the test's own commands.
func (h *Host) CPU() (time.Duration, error) {
	s, ok := h.hosts.site.(*namespaces)
	if !ok {
		return 0, errors.New("cpu: loopback hosts have no account of their own")
	}
	return s.groups.used(h.Name)
}

var usage = regexp.MustCompile(`(?m)^usage_usec (\d+)$`)

// The v2 tree counts for each group, whichever tree has the controllers.
func (g *groups) used(host string) (time.Duration, error) {
	for _, dir := range g.of(host) {
		b, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
		if err != nil {
			return 0, err
		}
		if m := usage.FindSubmatch(b); m != nil {
			n, err := strconv.ParseInt(string(m[1]), 10, 64)
			return time.Duration(n) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("cpu of %s: no v2 control group is mounted", host)
}

// DaemonCPU is what the host's daemon itself has used since its start, on its process's own clock: clock_getcpuclockid(3).
func (h *Host) DaemonCPU() (time.Duration, error) {
	const perProcess = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^h.Daemon()<<3|perProcess), &t); err != nil {
		return 0, fmt.Errorf("cpu of the daemon of %s: %w", h.Name, err)
	}
	return time.Duration(t.Nano()), nil
}
