package gauge

import (
	"testing"
	"testing/fstest"
	"time"
)

func TestCPUTimeIsWhatProcessesHaveUsed(t *testing.T) {
	const two = "cpu  100 20 30 9999 8888 4 5 7777 60 0\ncpu0 50 10 15 0 0 2 2 0 30 0\ncpu1 50 10 15 0 0 2 3 0 30 0\nintr 17\n"
	for _, c := range []struct {
		stat string
		used time.Duration
		cpus int
	}{
		{two, 1590 * time.Millisecond, 2},
		{"cpu  1 2 3 4\ncpu0 1 2 3 4\n", 60 * time.Millisecond, 1}, // an old kernel
		{"", 0, 0}, {"cpu 1 2 x 4\ncpu0 1\n", 0, 0}, {"cpu\ncpu0\n", 0, 0}, {"cpu 1 2 3 4\n", 0, 0},
	} {
		used, cpus, err := busy(fstest.MapFS{"proc/stat": {Data: []byte(c.stat)}})
		if used != c.used || cpus != c.cpus || (err == nil) != (c.cpus > 0) {
			t.Errorf("%q: %v, %d, %v", c.stat, used, cpus, err)
		}
	}
	if _, _, err := busy(fstest.MapFS{}); err == nil {
		t.Error("no file, no error")
	}
	if used, cpus, err := Busy(); err != nil || used <= 0 || cpus < 1 {
		t.Errorf("this machine: %v, %d, %v", used, cpus, err)
	}
}
