package gauge

import (
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// Busy is the time that all processes of the machine have used since it was booted, and how many CPUs it has. Time that a hypervisor took from the
// machine, and waiting for disks, is nobody's.
func Busy() (used time.Duration, cpus int, err error) { return busy(machine) }

// tick is the unit of /proc/stat: 1/USER_HZ, which is 100 on every architecture of Linux but Alpha (proc_stat(5)).
const tick = 10 * time.Millisecond

func busy(root fs.FS) (used time.Duration, cpus int, err error) {
	b, err := fs.ReadFile(root, "proc/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("read CPU time: %w", err)
	}
	known := false
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 0 || !strings.HasPrefix(f[0], "cpu") {
			continue
		}
		if f[0] != "cpu" {
			cpus++
			continue
		}
		// user nice system idle iowait irq softirq steal; guests' time is part of user
		for i, text := range f[1:min(len(f), 8)] {
			n, ok := number(text)
			if !ok {
				return 0, 0, fmt.Errorf("read CPU time: %q is no time", text)
			}
			if i != 3 && i != 4 {
				used += time.Duration(n) * tick
			}
		}
		known = len(f) > 4
	}
	if !known || cpus == 0 {
		return 0, 0, fmt.Errorf("read CPU time: not in /proc/stat")
	}
	return used, cpus, nil
}
