package gauge

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
)

// memory is the machine's memory, narrowed by each group above this process that has a limit.
func memory(root fs.FS, groups []group) (available, total int64, err error) {
	b, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, 0, fmt.Errorf("read memory: %w", err)
	}
	total, ok := field(string(b), "MemTotal:")
	if !ok {
		return 0, 0, errors.New("read memory: no MemTotal in meminfo")
	}
	available, ok = field(string(b), "MemAvailable:")
	if !ok {
		return 0, 0, errors.New("read memory: no MemAvailable in meminfo")
	}
	total, available = total<<10, available<<10
	for _, g := range groups {
		limit, free, ok := groupMemory(root, g)
		if ok {
			total, available = min(total, limit), min(available, free)
		}
	}
	return available, total, nil
}

// groupMemory is what one group may have and what of it is free. Pages of files count as
// free, as they do in MemAvailable: the kernel drops them before it says no, and with them each group that has read a lot would look full.
func groupMemory(root fs.FS, g group) (limit, free int64, ok bool) {
	limitFile, usedFile, prefix := "memory.max", "memory.current", ""
	if !g.v2 {
		limitFile, usedFile, prefix = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"
	}
	limit, ok = number(read(root, g.dir, limitFile))
	if !ok || limit > math.MaxInt64/2 { // v1 says "no limit" as a number near 2^63
		return 0, 0, false
	}
	used, ok := number(read(root, g.dir, usedFile))
	if !ok {
		return limit, limit, true
	}
	stat := read(root, g.dir, "memory.stat")
	cold, _ := field(stat, prefix+"inactive_file")
	warm, _ := field(stat, prefix+"active_file")
	return limit, max(limit-max(used-cold-warm, 0), 0), true
}

// field finds the number behind a name at the start of a line.
func field(text, name string) (int64, bool) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name {
			return number(f[1])
		}
	}
	return 0, false
}

func number(text string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n, err == nil && n >= 0
}
