// Package gauge samples this machine: what this process may use of it, and how busy it is.
//
// Every function reads the kernel's own files anew, may be called from any goroutine, and costs well under a millisecond; those about a list of processes,
// some microseconds more for each. None keeps anything: who looks again and again at what this process may have of the memory has a Meter, which keeps the files
// open. What a node may promise is always "what may this process use", not "what does the machine have": a daemon in a container, a Slurm step or a systemd slice
// shares the machine and must not promise all of it. Only Load and Busy are the whole machine's.
//
// What it reads is passed to the pure functions of cgroup.go and memory.go as an fs.FS whose root is "/", so that the
// layouts of other machines (cgroup v1, v2, both at once, containers with and without a cgroup namespace) are tables in
// the tests. Do not assume that two calls agree: limits may change while a process runs.
package gauge

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is the file system that the kernel shows us.
var machine = os.DirFS("/")

// Slots is CPUs to the nearest whole number, and at least 1.
func Slots() int { return slots(CPUs()) }

func slots(cpus float64) int { return max(int(math.Round(cpus)), 1) }

// CPUs is how many CPUs this process may use: its affinity mask (which cpusets have already narrowed), cut down to the least CPU quota among its cgroup and
// their ancestors.
func CPUs() float64 {
	cpus := runtime.NumCPU()
	var mask unix.CPUSet
	// The main thread's mask, not the calling thread's: a goroutine that locked and pinned its thread must not count.
	if unix.SchedGetaffinity(os.Getpid(), &mask) == nil {
		cpus = mask.Count()
	}
	return within(machine, float64(cpus))
}

func within(root fs.FS, cpus float64) float64 {
	if q, ok := cpuQuota(root); ok {
		return min(cpus, q)
	}
	return cpus
}

// Load is the load average of the last minute, of the whole machine: the kernel keeps none per cgroup.
func Load() (float64, error) { return load(machine) }

func load(root fs.FS) (float64, error) {
	b, err := fs.ReadFile(root, "proc/loadavg")
	if err != nil {
		return 0, fmt.Errorf("read load average: %w", err)
	}
	first, _, _ := strings.Cut(string(b), " ")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0, fmt.Errorf("read load average: %q is no load", first)
	}
	return v, nil
}

// Boot is the identity of the running kernel's boot. Two processes that see the same one run on one kernel.
// It is empty where the kernel does not tell.
func Boot() string {
	b, err := fs.ReadFile(machine, "proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Arch is the machine as uname(2) names it: what decides which programs run here, and not what this one was built for.
func Arch() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return runtime.GOARCH
	}
	return unix.ByteSliceToString(u.Machine[:])
}
