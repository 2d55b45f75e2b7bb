package gauge

import (
	"io/fs"
	"strconv"
	"strings"
)

// kills counts those of the nearest group that tells, which is of all below it, too; else those of the machine.
func kills(root fs.FS, groups []group) (n int64, ok bool) {
	for _, g := range groups {
		file := "memory.events"
		if !g.v2 {
			file = "memory.oom_control"
		}
		if n, ok = field(read(root, g.dir, file), "oom_kill"); ok {
			return n, ok
		}
	}
	return field(read(root, "proc", "vmstat"), "oom_kill")
}

// stalled is what the nearest group of v2 says of want of memory, or the machine.
func stalled(root fs.FS, groups []group) float64 {
	text := ""
	for _, g := range groups {
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
