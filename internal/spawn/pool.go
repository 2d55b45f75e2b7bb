package spawn

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mostIdle bounds the groups, and with each two descriptors, that are kept for the next job.
const mostIdle = 256

// pool makes control groups and keeps those that are empty: to make one and remove it costs as much as a fourth of a start.
//
// Its tree is BASE/GENERATION/NUMBER. BASE is the daemon's own by its name, a generation is one life of the daemon. The guard of a daemon
// that was killed may still be at its work on the generation before ours, and never touches ours.
type pool struct {
	kind string // "cgroup2" or "cgroup1"
	born bool   // a process can be forked into a group
	old  bool   // Config.oldV2
	base string
	lock *os.File // of base, while this daemon lives
	dir  string

	mu     sync.Mutex
	idle   []*group
	made   int
	closed bool
}

// openPool returns nil where no kind of group is ours to use.
func openPool(cfg Config, stage string) *pool {
	for _, kind := range []string{"cgroup2", "cgroup1"} {
		if kind == "cgroup2" && cfg.noV2 {
			continue
		}
		own, err := ownGroup(kind)
		if err != nil {
			cfg.Log.Debug("containment", "kind", kind, "err", err)
			continue
		}
		p := &pool{kind: kind, base: filepath.Join(own, cfg.Cgroup), old: cfg.oldV2}
		if err := p.open(stage); err != nil {
			cfg.Log.Debug("containment", "kind", kind, "err", err)
			p.close()
			continue
		}
		return p
	}
	return nil
}

func (p *pool) open(stage string) error {
	if err := os.MkdirAll(p.base, 0o755); err != nil {
		return err
	}
	if err := p.claim(); err != nil {
		return err
	}
	if err := p.clearBefore(); err != nil {
		return err
	}
	p.dir = filepath.Join(p.base, strconv.FormatInt(time.Now().UnixNano(), 36))
	if err := os.Mkdir(p.dir, 0o755); err != nil {
		return err
	}
	g, err := p.get()
	if err != nil {
		return err
	}
	// A stage without a frame ends at once: what matters is where it was born, and that it was not killed there (see group).
	if p.kind == "cgroup2" && !p.old {
		none := ^uintptr(0)
		pid, err := syscall.ForkExec(stage, []string{"mexec-stage"}, &syscall.ProcAttr{
			Files: []uintptr{none, none, none},
			Sys:   &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.dir},
		})
		if err == nil {
			var status syscall.WaitStatus
			_, err = syscall.Wait4(pid, &status, 0, nil)
			p.born = err == nil && !status.Signaled()
		}
		g.born = p.born
	}
	return p.put(g)
}

// claim makes sure that no live daemon has our base: its jobs would be what clearBefore ends. One that was started a second time finds out behind
// this that its port is taken.
func (p *pool) claim() (err error) {
	if p.lock, err = os.Open(p.base); err != nil {
		return err
	}
	if err := unix.Flock(int(p.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("control group %s: another daemon has it: %w", p.base, err)
	}
	return nil
}

// clearBefore ends the generations before ours.
func (p *pool) clearBefore() error {
	entries, err := os.ReadDir(p.base)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(p.base, e.Name()), time.Now().Add(patience)); err != nil {
				return err
			}
		}
	}
	return nil
}

// get returns an empty group.
func (p *pool) get() (*group, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if n := len(p.idle); n > 0 {
		g := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return g, nil
	}
	p.made++
	g, err := makeGroup(filepath.Join(p.dir, strconv.Itoa(p.made)))
	if err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	g.born, g.atomic = p.born, g.atomic && !p.old
	return g, nil
}

// put empties a group, whatever is in it, and takes it back.
func (p *pool) put(g *group) error {
	err := g.clear(patience)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && !g.spent && !p.closed && len(p.idle) < mostIdle {
		p.idle = append(p.idle, g)
		return nil
	}
	g.close()
	if rmErr := os.Remove(g.path); err == nil && !errors.Is(rmErr, fs.ErrNotExist) {
		err = rmErr
	}
	return err
}

// close kills all that is in any group of ours, and removes the groups.
func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.lock.Close()
	p.closed = true
	for _, g := range p.idle {
		g.close()
	}
	p.idle = nil
	if p.dir == "" {
		return nil
	}
	err := removeTree(p.dir, time.Now().Add(patience))
	// What we made of the path to our groups goes too, as far as nobody else is in it.
	for dir := p.base; os.Remove(dir) == nil; dir = filepath.Dir(dir) {
	}
	return err
}

// ownGroup is the directory of the group that this process is in: a group below it is ours to make where anything is. Below a job of
// another daemon it is that job's group, so that the outer one's end is our end.
func ownGroup(kind string) (string, error) {
	fstype, controller := "cgroup2", ""
	if kind == "cgroup1" {
		fstype, controller = "cgroup", "freezer"
	}
	own, err := ownPath(controller)
	if err != nil {
		return "", err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for s := bufio.NewScanner(bytes.NewReader(mounts)); s.Scan(); {
		// 29 23 0:26 ROOT MOUNTPOINT rw,relatime - TYPE SOURCE OPTIONS
		before, after, _ := strings.Cut(s.Text(), " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(g) < 3 || g[0] != fstype {
			continue
		}
		if controller != "" && !strings.Contains(","+g[2]+",", ","+controller+",") {
			continue
		}
		if rel, err := filepath.Rel(f[3], own); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return filepath.Join(f[4], rel), nil
		}
		return f[4], nil
	}
	return "", fmt.Errorf("%s is not mounted", fstype)
}

// ownPath finds the line of a controller ("": version 2) in /proc/self/cgroup.
func ownPath(controller string) (string, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) == 3 && strings.Contains(","+f[1]+",", ","+controller+",") && (controller != "" || f[0] == "0") {
			return f[2], nil
		}
	}
	return "", errors.New("/proc/self/cgroup: no such hierarchy")
}
