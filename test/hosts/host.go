package hosts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// privateDirs are the directories of mexec that each host has for itself: below Host.Dir seen from outside, and as
// namespaces below / seen from inside.
var privateDirs = []string{"run/mexec", "etc/mexec", "var/lib/mexec"}

// Host is one machine of the set.
type Host struct {
	Number int    // from 1, as in NODES
	Name   string // node1 …
	Addr   string // its IP address
	Dir    string // holds run/mexec, etc/mexec, var/lib/mexec and the daemon's log

	hosts *Hosts

	mu   sync.Mutex
	proc *exec.Cmd     // the daemon; nil: none runs
	gone chan struct{} // closed when proc has been waited for
}

// Command prepares a command inside the host, with the programs of mexec first in its PATH. It starts in cmd.Dir, or the
// caller's directory. The process is the command itself: a signal to cmd.Process is a signal to it.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	return h.CommandContext(context.Background(), name, args...)
}

// CommandContext is Command, killed when ctx ends.
func (h *Host) CommandContext(ctx context.Context, name string, args ...string) *exec.Cmd {
	argv := append(append(h.hosts.site.enter(h), name), args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = h.environ()
	return cmd
}

// environ is the caller's environment without what would lead a command of this host to another daemon.
func (h *Host) environ() []string {
	path := h.hosts.conf.Bin + ":" + os.Getenv("PATH") + ":/usr/sbin:/sbin"
	env := []string{"PATH=" + path, "MEXEC_STUB=" + filepath.Join(h.hosts.conf.Bin, "mexec"), // it is not where libmexec expects it
		"MEXEC_SHORT=0"} // tests are of what is placed, and what earlier builds took is nothing to them
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "PATH", "MEXEC_STUB", "MEXEC_SOCKET", "XDG_RUNTIME_DIR", "NODES", "ENVSETTER", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MEXEC_SHORT":
		default:
			env = append(env, e)
		}
	}
	return append(env, h.hosts.site.environ(h)...)
}

// Enter is a shell command that opens a shell inside the host.
func (h *Host) Enter() string { return h.hosts.site.shell(h) }

// Bin is where the programs of mexec are.
func (h *Host) Bin() string { return h.hosts.conf.Bin }

// Socket is the daemon's socket as a command inside the host names it.
func (h *Host) Socket() string { return h.inside("run/mexec/mexecd.sock") }

// OutsideSocket is the same socket as the test's own process names it.
func (h *Host) OutsideSocket() string { return filepath.Join(h.Dir, "run/mexec/mexecd.sock") }

// Config is the daemon's configuration file as the test's own process names it; it takes effect at StartDaemon.
func (h *Host) Config() string { return filepath.Join(h.Dir, "etc/mexec/mexecd.toml") }

func (h *Host) state() string { return h.inside("var/lib/mexec") }

func (h *Host) inside(path string) string {
	if !h.hosts.Isolated() {
		return filepath.Join(h.Dir, path)
	}
	return "/" + path
}

// Dial connects to addr with the host's network.
func (h *Host) Dial(network, addr string) (conn net.Conn, err error) {
	if e := h.hosts.site.network(h, func() { conn, err = net.Dial(network, addr) }); e != nil {
		return nil, e
	}
	return conn, err
}

// StartDaemon starts the host's mexecd and waits until its socket answers.
func (h *Host) StartDaemon() error {
	h.mu.Lock()
	if h.proc != nil {
		h.mu.Unlock()
		return fmt.Errorf("start mexecd on %s: it runs as process %d", h.Name, h.proc.Process.Pid)
	}
	log, err := os.OpenFile(h.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		h.mu.Unlock()
		return err
	}
	defer log.Close()
	cmd := h.Command("mexecd", h.flags()...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	// A Ctrl-C is for the test, which then closes the hosts; a test that dies takes its daemons with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	gone, started := make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig means the death of this thread
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			h.mu.Lock()
			h.proc = nil
			h.mu.Unlock()
			close(gone)
		}
	}()
	if err := <-started; err != nil {
		h.mu.Unlock()
		return fmt.Errorf("start mexecd on %s: %w", h.Name, err)
	}
	h.proc, h.gone = cmd, gone
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = Poll(ctx, func() bool {
		select {
		case <-gone:
			cancel()
			return false
		default:
		}
		c, err := net.Dial("unix", h.OutsideSocket())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("start mexecd on %s: no answer on its socket: %s", h.Name, lastLines(h.Log(), 5))
	}
	return nil
}

func (h *Host) flags() []string {
	flags := []string{
		"--listen", h.Addr + ":7733", "--gossip", h.Addr + ":7734", "--advertise", h.Addr,
		"--socket", h.Socket(), "--state", h.state(), "--slots", strconv.Itoa(h.hosts.conf.Slots),
	}
	if os.Geteuid() == 0 {
		flags = append(flags, "--root-jobs") // the tests are root, and so are their jobs
	}
	if !h.hosts.Isolated() { // all sets are in one control group, and their nodes have the same names
		flags = append(flags, "--cgroup", filepath.Base(h.hosts.Dir)+"/"+h.Name)
	}
	if _, err := os.Stat(h.Config()); err == nil {
		flags = append(flags, "--config", h.inside("etc/mexec/mexecd.toml"))
	}
	return append(flags, h.hosts.conf.Flags...)
}

// Daemon is the daemon's pid; 0: none runs.
func (h *Host) Daemon() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc == nil {
		return 0
	}
	return h.proc.Process.Pid
}

// KillDaemon sends the daemon a signal; after one that ends it, it waits for the end.
func (h *Host) KillDaemon(sig syscall.Signal) error {
	h.mu.Lock()
	proc, gone := h.proc, h.gone
	h.mu.Unlock()
	if proc == nil {
		return fmt.Errorf("kill mexecd on %s: none runs", h.Name)
	}
	if err := proc.Process.Signal(sig); err != nil {
		return fmt.Errorf("kill mexecd on %s: %w", h.Name, err)
	}
	switch sig {
	case syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGABRT:
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			return fmt.Errorf("kill mexecd on %s: still there 10 s after %v", h.Name, sig)
		}
	}
	return nil
}

// PauseDaemon stops the daemon where it stands: a machine that hangs.
func (h *Host) PauseDaemon() error { return h.KillDaemon(syscall.SIGSTOP) }

// ResumeDaemon lets a paused daemon go on.
func (h *Host) ResumeDaemon() error { return h.KillDaemon(syscall.SIGCONT) }

func (h *Host) stopDaemon() {
	if h.Daemon() == 0 {
		return
	}
	h.ResumeDaemon()
	if err := h.KillDaemon(syscall.SIGTERM); err != nil {
		h.KillDaemon(syscall.SIGKILL)
	}
}

// Cut drops all traffic between this host and the others, silently, as a dead switch does; the host keeps its link and
// address. Connections to itself stay.
func (h *Host) Cut() error { return h.hosts.site.cut(h, true) }

// Heal undoes Cut.
func (h *Host) Heal() error { return h.hosts.site.cut(h, false) }

// Log is what the daemon has said so far, over all its starts.
func (h *Host) Log() string {
	b, err := os.ReadFile(h.logFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(b)
}

func (h *Host) logFile() string { return filepath.Join(h.Dir, "mexecd.log") }

func lastLines(s string, n int) string {
	lines := bytes.Split(bytes.TrimSpace([]byte(s)), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte(" | ")))
}
