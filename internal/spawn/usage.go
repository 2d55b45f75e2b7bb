package spawn

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// CPU is the time that all jobs have used so far, those that are over included. ok: that is known, as it is where control groups of version 2 hold the
// jobs: they count whether or not the controller is theirs.
func (s *Spawner) CPU() (used time.Duration, ok bool, err error) {
	if s.pool == nil || s.pool.kind != "cgroup2" {
		return 0, false, nil
	}
	b, err := os.ReadFile(filepath.Join(s.pool.dir, "cpu.stat"))
	if err != nil {
		return 0, false, fmt.Errorf("usage of jobs: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if text, found := strings.CutPrefix(line, "usage_usec "); found {
			us, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return time.Duration(us) * time.Microsecond, err == nil, err
		}
	}
	return 0, false, nil
}
