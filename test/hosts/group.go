package hosts

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// prefix starts the name of all that a set leaves in a shared place; the pid of its maker follows.
const prefix = "mexec-hosts."

// groups are the control groups of a set: one per host in the tree that shares out the CPU, one in that which limits memory where that is asked for, and one in the v2 tree, which
// are the same tree where the machine has v2 only. They limit the host, and they remember what runs in it: a daemon may
// move a job below its group, never out of it.
type groups struct {
	name  string
	trees []string // mount points
	cpu   string   // the one of them that has the cpu controller; empty: no limit is possible
	limit float64

	memory     string // as cpu
	memoryMost int64  // bytes of one host; 0: no limit
}

func newGroups(name string, limit float64, memory int64) (*groups, error) {
	g := &groups{name: name, limit: limit, memoryMost: memory}
	g.trees, g.cpu, g.memory = cgroupTrees()
	if memory == 0 {
		g.trees = slices.DeleteFunc(g.trees, func(t string) bool { return t == g.memory && t != g.cpu && !isV2(t) })
	}
	if len(g.trees) == 0 {
		return nil, errors.New("hosts: no control groups are mounted")
	}
	for _, t := range g.trees {
		if err := os.Mkdir(filepath.Join(t, name), 0o755); err != nil {
			return nil, err
		}
	}
	if limit != 0 && g.cpu == "" {
		return nil, errors.Join(errors.New("hosts: no control group has the cpu controller"), g.close())
	}
	if limit != 0 && isV2(g.cpu) {
		control := filepath.Join(g.cpu, name, "cgroup.subtree_control")
		if err := os.WriteFile(control, []byte("+cpu"), 0); err != nil {
			return nil, errors.Join(err, g.close())
		}
	}
	if memory != 0 && g.memory == "" {
		return nil, errors.Join(errors.New("hosts: no control group has the memory controller"), g.close())
	}
	if memory != 0 && isV2(g.memory) {
		control := filepath.Join(g.memory, name, "cgroup.subtree_control")
		if err := os.WriteFile(control, []byte("+memory"), 0); err != nil {
			return nil, errors.Join(err, g.close())
		}
	}
	return g, nil
}

func (g *groups) of(host string) []string {
	var dirs []string
	for _, t := range g.trees {
		dirs = append(dirs, filepath.Join(t, g.name, host))
	}
	return dirs
}

func (g *groups) add(host string) ([]string, error) {
	dirs := g.of(host)
	for _, d := range dirs {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := g.limitMemory(host); err != nil || g.limit == 0 {
		return dirs, err
	}
	return dirs, g.setLimit(host, g.limit)
}

func (g *groups) setLimit(host string, cpus float64) error {
	// Short periods keep the hosts even: with the usual 100 ms a host is silent for up to 75 ms at a time.
	const period = 20000
	quota := strconv.Itoa(int(cpus * period))
	d := filepath.Join(g.cpu, g.name, host)
	if isV2(g.cpu) {
		return os.WriteFile(filepath.Join(d, "cpu.max"), []byte(quota+" "+strconv.Itoa(period)), 0)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(d, "cpu.cfs_period_us"), []byte(strconv.Itoa(period)), 0),
		os.WriteFile(filepath.Join(d, "cpu.cfs_quota_us"), []byte(quota), 0))
}

// limitMemory also keeps the host from swapping, where that is counted.
func (g *groups) limitMemory(host string) error {
	if g.memoryMost == 0 {
		return nil
	}
	d := filepath.Join(g.memory, g.name, host)
	most := []byte(strconv.FormatInt(g.memoryMost, 10))
	if isV2(g.memory) {
		os.WriteFile(filepath.Join(d, "memory.swap.max"), []byte("0"), 0)
		return os.WriteFile(filepath.Join(d, "memory.max"), most, 0)
	}
	err := os.WriteFile(filepath.Join(d, "memory.limit_in_bytes"), most, 0)
	os.WriteFile(filepath.Join(d, "memory.memsw.limit_in_bytes"), most, 0)
	return err
}

// weigh gives the set so many times the weight that it has by default against what else runs on the machine.
func (g *groups) weigh(times float64) error {
	if g.cpu == "" {
		return errors.New("hosts: no control group has the cpu controller")
	}
	d := filepath.Join(g.cpu, g.name)
	if isV2(g.cpu) {
		return os.WriteFile(filepath.Join(d, "cpu.weight"), []byte(strconv.Itoa(int(min(10000, 100*times)))), 0)
	}
	return os.WriteFile(filepath.Join(d, "cpu.shares"), []byte(strconv.Itoa(int(1024*times))), 0)
}

func (g *groups) close() error {
	var errs []error
	for _, t := range g.trees {
		err := os.Remove(filepath.Join(t, g.name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func isV2(tree string) bool {
	_, err := os.Stat(filepath.Join(tree, "cgroup.controllers"))
	return err == nil
}

// cgroupTrees are the mount points of the v2 tree and of v1's cpu and memory controllers.
func cgroupTrees() (trees []string, cpu, memory string) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, "", ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		field := strings.Fields(s.Text())
		dir, kind, options := field[1], field[2], strings.Split(field[3], ",")
		switch {
		case kind == "cgroup" && slices.Contains(options, "cpu"):
			trees, cpu = append(trees, dir), dir
			if slices.Contains(options, "memory") {
				memory = dir
			}
		case kind == "cgroup" && slices.Contains(options, "memory"):
			trees, memory = append(trees, dir), dir
		case kind == "cgroup2":
			trees = append(trees, dir)
			on, _ := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
			if slices.Contains(strings.Fields(string(on)), "cpu") {
				cpu = dir
			}
			if slices.Contains(strings.Fields(string(on)), "memory") {
				memory = dir
			}
		}
	}
	return trees, cpu, memory
}

// sweep removes what a set left whose maker is gone and whose anchors were killed too. Nobody starts a process in such a
// group again, so what is found there is that set's.
func sweep() {
	trees, _, _ := cgroupTrees()
	for _, t := range append(trees, os.TempDir()) {
		found, _ := filepath.Glob(filepath.Join(t, prefix+"*"))
		for _, dir := range found {
			pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), ".")
			n, err := strconv.Atoi(pid)
			if err != nil || syscall.Kill(n, 0) != syscall.ESRCH {
				continue
			}
			if t == os.TempDir() {
				os.RemoveAll(dir)
				continue
			}
			// The anchors of a set that died a moment ago do the same; both may.
			cmd := exec.Command("/bin/sh", "-c", anchorEnd, "sweep", dir)
			cmd.Run()
		}
	}
}

// anchorEnd is the part of the anchor that comes after the end of its input.
var anchorEnd = func() string {
	_, end, ok := strings.Cut(anchorScript, "cat >/dev/null\n")
	if !ok {
		panic(fmt.Sprintf("anchor.sh has no end in %q", anchorScript))
	}
	return end
}()
