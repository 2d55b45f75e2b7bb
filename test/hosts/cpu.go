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

// Throttled is for how long the host could have used more CPU time than its limit let it, so far.
func (h *Host) Throttled() (time.Duration, error) {
	s, ok := h.hosts.site.(*namespaces)
	if !ok || s.groups.cpu == "" {
		return 0, fmt.Errorf("cpu of %s: nothing limits it", h.Name)
	}
	b, err := os.ReadFile(filepath.Join(s.groups.cpu, s.groups.name, h.Name, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	m := throttled.FindSubmatch(b)
	if m == nil {
		return 0, fmt.Errorf("cpu of %s: no throttled time in %q", h.Name, b)
	}
	n, err := strconv.ParseInt(string(m[2]), 10, 64)
	if string(m[1]) == "usec" { // v2; v1 has nanoseconds
		n *= 1000
	}
	return time.Duration(n), err
}

var throttled = regexp.MustCompile(`(?m)^throttled_(time|usec) (\d+)$`)

// LimitCPU changes what the host may use of a CPU: a slow machine among others.
func (h *Host) LimitCPU(cpus float64) error {
	s, ok := h.hosts.site.(*namespaces)
	if !ok || s.groups.cpu == "" {
		return fmt.Errorf("limit cpu of %s: it has no control group that could", h.Name)
	}
	return s.groups.setLimit(h.Name, cpus)
}

// WeighCPU gives the set so many times the weight of one process against all else on the machine, so that a measurement sees the hosts' limits and not the machine's other work.
func (hs *Hosts) WeighCPU(times float64) error {
	s, ok := hs.site.(*namespaces)
	if !ok {
		return errors.New("weigh cpu: loopback hosts have no control group of their own")
	}
	return s.groups.weigh(times)
}
