package gauge

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// quotaOfOne makes a group that may use one CPU, and skips the test where this process may not.
func quotaOfOne(t *testing.T) string {
	t.Helper()
	all := groups(machine, "cpu")
	for _, g := range all {
		dir := filepath.Join(g.dir, fmt.Sprintf("gauge-test-%d", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		var err error
		if g.v2 {
			err = os.WriteFile(filepath.Join(dir, "cpu.max"), []byte("100000 100000"), 0)
		} else {
			err = os.WriteFile(filepath.Join(dir, "cpu.cfs_quota_us"), []byte("100000"), 0)
		}
		if err == nil {
			return dir
		}
	}
	t.Skip("no cgroup with the cpu controller that this process may write")
	return ""
}
