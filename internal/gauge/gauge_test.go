package gauge

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// host builds a machine out of path, text, path, text …
func host(files ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return m
}

const (
	info = "proc/self/mountinfo"
	mine = "proc/self/cgroup"

	mountV2     = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	mountHybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct\n" +
		"33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
		"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)

func TestSlotsKeepToTheLeastQuotaAboveTheProcess(t *testing.T) {
	tests := []struct {
		name string
		cpus int
		host fstest.MapFS
		want int
	}{
		{"nothing is known", 8, host(), 8},
		{"v2 without a limit", 8, host(info, mountV2, mine, "0::/a/b\n", "sys/fs/cgroup/a/cpu.max", "max 100000\n"), 8},
		{"v2, own group", 8, host(info, mountV2, mine, "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "300000 100000\n"), 3},
		{"v2, a group further out is tighter", 8, host(info, mountV2, mine, "0::/a/b\n",
			"sys/fs/cgroup/a/b/cpu.max", "600000 100000\n", "sys/fs/cgroup/a/cpu.max", "200000 100000\n"), 2},
		{"v2 in a container: the limit is at the root of the namespace", 8,
			host(info, mountV2, mine, "0::/\n", "sys/fs/cgroup/cpu.max", "400000 100000\n"), 4},
		{"v2, moved out of its namespace", 8,
			host(info, mountV2, mine, "0::/../x\n", "sys/fs/cgroup/cpu.max", "400000 100000\n", "sys/fs/cgroup/x/cpu.max", "100000 100000\n"), 4},
		{"hybrid: cpu is a v1 controller", 8, host(info, mountHybrid, mine, "4:cpu,cpuacct:/slice\n1:memory:/\n0::/u\n",
			"sys/fs/cgroup/cpu,cpuacct/slice/cpu.cfs_quota_us", "150000\n",
			"sys/fs/cgroup/cpu,cpuacct/slice/cpu.cfs_period_us", "50000\n"), 3},
		{"v1 without a limit", 8, host(info, mountHybrid, mine, "4:cpu,cpuacct:/\n",
			"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n",
			"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"), 8},
		{"hybrid with a quota in either: the lesser one holds", 8, host(info, mountHybrid, mine, "4:cpu,cpuacct:/s\n0::/u\n",
			"sys/fs/cgroup/cpu,cpuacct/s/cpu.cfs_quota_us", "500000", "sys/fs/cgroup/cpu,cpuacct/s/cpu.cfs_period_us", "100000",
			"sys/fs/cgroup/unified/u/cpu.max", "200000 100000"), 2},
		{"v1 in a container without a cgroup namespace: the mount shows a subtree", 8, host(
			info, "32 31 0:29 /docker/f00 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n",
			mine, "4:cpu:/docker/f00/job\n",
			"sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "700000", "sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "500000", "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"), 5},
		{"the mount shows a stranger's subtree whose name begins alike", 8, host(
			info, "32 31 0:29 /docker/f0 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n",
			mine, "4:cpu:/docker/f00\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "500000", "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"), 5},
		{"rounded to the nearest", 8, host(info, mountV2, mine, "0::/\n", "sys/fs/cgroup/cpu.max", "260000 100000"), 3},
		{"rounded down", 8, host(info, mountV2, mine, "0::/\n", "sys/fs/cgroup/cpu.max", "240000 100000"), 2},
		{"at least one", 8, host(info, mountV2, mine, "0::/\n", "sys/fs/cgroup/cpu.max", "10000 100000"), 1},
		{"a quota above the affinity mask changes nothing", 2, host(info, mountV2, mine, "0::/\n", "sys/fs/cgroup/cpu.max", "900000 100000"), 2},
		{"a quota just below the mask rounds up to it", 2, host(info, mountV2, mine, "0::/\n", "sys/fs/cgroup/cpu.max", "190000 100000"), 2},
		{"no CPU at all in the mask", 0, host(), 1},
		{"garbage", 8, host(info, "- -\n 1 2 3\n - cgroup2 x y\n"+mountV2, mine, "x\n:\n0::\n::::\n", "sys/fs/cgroup/cpu.max", "0 0"), 8},
		{"a mount point with a blank", 8, host(info, `30 23 0:26 / /my\040cg rw - cgroup2 cgroup2 rw`+"\n", mine, "0::/\n",
			"my cg/cpu.max", "100000 100000"), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := slots(within(tt.host, float64(tt.cpus))); got != tt.want {
				t.Errorf("slots = %d, want %d", got, tt.want)
			}
		})
	}
}

const meminfo = "MemTotal:       1000 kB\nMemFree:  10 kB\nMemAvailable:    600 kB\n"

func TestMemoryIsNarrowedByEveryGroupAbove(t *testing.T) {
	tests := []struct {
		name             string
		host             fstest.MapFS
		available, total int64
	}{
		{"no group", host("proc/meminfo", meminfo), 600 << 10, 1000 << 10},
		{"v2 limit, file pages are free", host("proc/meminfo", meminfo, info, mountV2, mine, "0::/a\n",
			"sys/fs/cgroup/a/memory.max", "102400\n", "sys/fs/cgroup/a/memory.current", "92160\n",
			"sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 40000\nactive_file 960\n"), 51200, 102400},
		{"v2 without a limit", host("proc/meminfo", meminfo, info, mountV2, mine, "0::/a\n",
			"sys/fs/cgroup/a/memory.max", "max\n", "sys/fs/cgroup/a/memory.current", "92160\n"), 600 << 10, 1000 << 10},
		{"v1 without a limit", host("proc/meminfo", meminfo, info, mountHybrid, mine, "1:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes", "4096\n"), 600 << 10, 1000 << 10},
		{"v1, the group further out is the full one", host("proc/meminfo", meminfo, info, mountHybrid, mine, "1:memory:/s/j\n",
			"sys/fs/cgroup/memory/s/j/memory.limit_in_bytes", "51200", "sys/fs/cgroup/memory/s/j/memory.usage_in_bytes", "0",
			"sys/fs/cgroup/memory/s/memory.limit_in_bytes", "102400", "sys/fs/cgroup/memory/s/memory.usage_in_bytes", "102400",
			"sys/fs/cgroup/memory/s/memory.stat", "total_inactive_file 1000\ntotal_active_file 24\nactive_file 7\n"), 1024, 51200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			available, total, err := memory(tt.host, groups(tt.host, "memory"))
			if err != nil || available != tt.available || total != tt.total {
				t.Errorf("memory = %d of %d, %v; want %d of %d", available, total, err, tt.available, tt.total)
			}
		})
	}
	for _, bad := range []string{"", "MemTotal: 5 kB\n", "MemTotal: x kB\nMemAvailable: 3 kB\n"} {
		if _, _, err := memory(host("proc/meminfo", bad), nil); err == nil {
			t.Errorf("memory of %q: no error", bad)
		}
	}
}

func TestLoadOfGarbageIsAnError(t *testing.T) {
	if v, err := load(host("proc/loadavg", "1.25 0.5 0.1 1/88 8432\n")); v != 1.25 || err != nil {
		t.Errorf("load = %v, %v", v, err)
	}
	for _, bad := range []string{"", "x", "-1 0 0", "NaN 0 0", "+Inf 0 0"} {
		if v, err := load(host("proc/loadavg", bad)); err == nil {
			t.Errorf("load of %q = %v, want an error", bad, v)
		}
	}
}

// What this machine's own tools say is the reference.
func TestThisMachineAgreesWithItsOwnTools(t *testing.T) {
	nproc, err := exec.Command("nproc").Output()
	if err != nil {
		t.Skip("no nproc here")
	}
	if _, limited := cpuQuota(machine); !limited && strings.TrimSpace(string(nproc)) != strconv.Itoa(Slots()) {
		t.Errorf("Slots() = %d, nproc says %s", Slots(), nproc)
	}
	if Slots() < 1 {
		t.Errorf("Slots() = %d", Slots())
	}
	if v, err := Load(); err != nil || v < 0 {
		t.Errorf("Load() = %v, %v", v, err)
	}
	m := NewMeter()
	defer m.Close()
	if a, total, err := m.Memory(); err != nil || a <= 0 || total < a {
		t.Errorf("Memory() = %d of %d, %v", a, total, err)
	}
	if len(Boot()) != 36 {
		t.Errorf("Boot() = %q, want a UUID", Boot())
	}
	if m, err := exec.Command("uname", "-m").Output(); err == nil && strings.TrimSpace(string(m)) != Arch() {
		t.Errorf("Arch() = %q, uname says %s", Arch(), m)
	}
}

// Needs a real group: cgroup v1's cpu controller, or v2, writable. The process moves a child, never itself.
func TestSlotsSeeARealQuota(t *testing.T) {
	if os.Getenv("GAUGE_PRINT_SLOTS") != "" {
		os.Stdout.WriteString("slots=" + strconv.Itoa(Slots()) + "\n")
		return
	}
	if Slots() < 2 {
		t.Skip("one CPU only: a quota of one changes nothing")
	}
	dir := quotaOfOne(t)
	cmd := exec.Command("/bin/sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$1" -test.run '^TestSlotsSeeARealQuota$' -test.v`, dir, os.Args[0])
	cmd.Env = append(os.Environ(), "GAUGE_PRINT_SLOTS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("run in %s: %v\n%s", dir, err, out)
	}
	if !strings.Contains(string(out), "slots=1\n") {
		t.Errorf("under a quota of one CPU: %s", out)
	}
}
