package spawn

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// group is one control group. A job is alone in it; an empty one may hold the next job.
//
// One that was killed may not: the kernel compares the number of its kills with that of the forking process's own group, takes a process that
// is forked into it for one that the kill has missed, and kills it (cgroup_css_set_fork reads the wrong group's number; seen on Linux 6.18).
type group struct {
	path   string
	dir    int  // descriptor of its directory
	events int  // cgroup.events, -1 with version 1
	atomic bool // it has cgroup.kill: one word ends it, whatever forks meanwhile
	born   bool // a process can be forked into it
	spent  bool // it was killed
}

func makeGroup(path string) (*group, error) {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return openGroup(path)
}

func openGroup(path string) (*group, error) {
	dir, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	g := &group{path: path, dir: dir}
	g.events, err = unix.Openat(dir, "cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		g.events = -1
	}
	g.atomic = unix.Faccessat(dir, "cgroup.kill", unix.W_OK, 0) == nil
	return g, nil
}

func (g *group) close() {
	unix.Close(g.dir)
	if g.events >= 0 {
		unix.Close(g.events)
	}
}

// enter moves a process into the group.
func (g *group) enter(pid int) error {
	return g.write("cgroup.procs", strconv.Itoa(pid))
}

// kill kills all that is in the group, without a wait where it is atomic.
func (g *group) kill() error {
	if g.atomic {
		g.spent = true
		return g.write("cgroup.kill", "1")
	}
	// Frozen, no process forks away from the list. One that hangs inside the kernel does not freeze: the next round finds what it forked.
	if g.events >= 0 {
		g.write("cgroup.freeze", "1")
		defer g.write("cgroup.freeze", "0")
	} else {
		g.write("freezer.state", "FROZEN")
		defer g.write("freezer.state", "THAWED")
	}
	pids, err := g.procs()
	for _, pid := range pids {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	return err
}

// populated tells whether a process is in the group, or, with version 2, below it.
func (g *group) populated() (bool, error) {
	if g.events < 0 {
		pids, err := g.procs()
		return len(pids) > 0, err
	}
	var buf [256]byte
	n, err := unix.Pread(g.events, buf[:], 0)
	if err != nil {
		return true, &fs.PathError{Op: "read", Path: g.path + "/cgroup.events", Err: err}
	}
	return !bytes.Contains(buf[:n], []byte("populated 0")), nil
}

// clear kills until the group is empty, for no longer than within.
func (g *group) clear(within time.Duration) error {
	deadline := time.Time{}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		left, err := g.populated()
		if errors.Is(err, unix.ENODEV) { // the group was removed: only an empty one can be
			return nil
		}
		if !left || err != nil {
			return err
		}
		now := time.Now()
		if deadline.IsZero() {
			deadline = now.Add(within)
		} else if now.After(deadline) {
			return fmt.Errorf("control group %s: processes are still there after they were killed", g.path)
		}
		if err := g.kill(); err != nil {
			return err
		}
		g.await(pause)
	}
}

// await waits for a change of the group, or a moment.
func (g *group) await(pause time.Duration) {
	if g.events < 0 {
		time.Sleep(pause)
		return
	}
	unix.Poll([]unix.PollFd{{Fd: int32(g.events), Events: unix.POLLPRI}}, int(pause.Milliseconds()))
}

func (g *group) procs() ([]int, error) {
	b, err := os.ReadFile(filepath.Join(g.path, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, field := range strings.Fields(string(b)) {
		// 0 stands for a process outside of our pid namespace, and to kill it would be to kill ourselves.
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func (g *group) write(name, value string) error {
	fd, err := unix.Openat(g.dir, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(value))
		unix.Close(fd)
	}
	if err != nil {
		return &fs.PathError{Op: "write", Path: filepath.Join(g.path, name), Err: err}
	}
	return nil
}

// removeTree empties and removes a group and all below it.
func removeTree(path string, deadline time.Time) error {
	g, err := openGroup(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if g.atomic {
		err = g.kill() // reaches what is below, too
	}
	entries, _ := os.ReadDir(path)
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeTree(filepath.Join(path, e.Name()), deadline))
		}
	}
	err = errors.Join(err, g.clear(max(time.Until(deadline), time.Millisecond)))
	g.close()
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
