package gauge

import (
	"io/fs"
	"strconv"
	"strings"
)

// Kills is how many processes the kernel has killed for want of memory, ever, in the groups that this process and its children are in; where there are
// none, on the machine. Only a change of it says anything.
func Kills() (int64, bool) { return kills(machine) }

func kills(root fs.FS) (n int64, ok bool) {
	for _, g := range groups(root, "memory") {
		file := "memory.events" // of the group and all below it
		if !g.v2 {
			file = "memory.oom_control"
		}
		if k, found := field(read(root, g.dir, file), "oom_kill"); found && !ok {
			n, ok = k, true
		}
	}
	if !ok {
		n, ok = field(read(root, "proc", "vmstat"), "oom_kill")
	}
	return n, ok
}

// Stalled is the share of the last ten seconds in which nothing of the nearest group, or of the machine, could go on for want of memory. It is 0
// where the kernel does not tell.
func Stalled() float64 { return stalled(machine) }

func stalled(root fs.FS) float64 {
	text := ""
	for _, g := range groups(root, "memory") {
		if g.v2 && text == "" {
			text = read(root, g.dir, "memory.pressure")
		}
	}
	if text == "" {
		text = read(root, "proc/pressure", "memory")
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "full" {
			continue
		}
		percent, ok := strings.CutPrefix(f[1], "avg10=")
		v, err := strconv.ParseFloat(percent, 64)
		if ok && err == nil && v >= 0 {
			return v / 100
		}
	}
	return 0
}
