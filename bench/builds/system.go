package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mexec/test/hosts"
)

// A system is a way to build on several hosts. It is up for one build at a time, so that nobody's daemons are in another's way.
type system interface {
	// up starts what must run before a build can; each process it starts is one of the ground's.
	up(ctx context.Context, g *ground) error
	// call is the build as a person types it on the host home.
	call(g *ground, home *hosts.Host, p project) call
}

// A call is a command line, with what its environment has beyond the plain one.
type call struct {
	argv []string
	env  []string
}

func (c call) String() string { return strings.Join(append(c.env, c.argv...), " ") }

// contestants by their names on the command line.
var contestants = map[string]func() system{
	"smp":    func() system { return smp{} },
	"mexec":  func() system { return &mexec{} },
	"ssh":    func() system { return ssh{} },
	"sshc":   func() system { return ssh{compiled: true} },
	"distcc": func() system { return distcc{} },
	"pump":   func() system { return distcc{pump: true} },
	"icecc":  func() system { return icecc{} },
}

// smp is plain make on a host that has the CPUs of all: no network, one memory, one kernel's scheduler.
type smp struct{}

func (smp) up(context.Context, *ground) error { return nil }

func (smp) call(g *ground, _ *hosts.Host, p project) call {
	return call{argv: append([]string{"make", fmt.Sprintf("-j%d", max(2, 2*g.n/g.homes))}, p.args...)}
}

// environ is what every build has, whoever does it.
func (g *ground) environ(h *hosts.Host) []string {
	return []string{"PATH=" + h.Bin() + ":/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/nonexistent", "XDG_CACHE_HOME=" + filepath.Join(g.dir, "cache"), "TMPDIR=/tmp", "LC_ALL=C",
		"SOURCE_DATE_EPOCH=1000000000", "GIT_CEILING_DIRECTORIES=/"}
}

// command prepares a command with that environment and nothing of ours.
func (g *ground) command(ctx context.Context, h *hosts.Host, c call) *exec.Cmd {
	cmd := h.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	stub := "MEXEC_STUB=" + filepath.Join(h.Bin(), "mexec") // it is not where libmexec expects it
	cmd.Env = append(append(g.environ(h), stub), c.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// daemon starts a process of a system in a host; down ends it.
func (g *ground) daemon(h *hosts.Host, c call) error {
	log, err := os.OpenFile(filepath.Join(g.dir, filepath.Base(c.argv[0])+"."+h.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := g.command(context.Background(), h, c)
	cmd.Cancel = nil
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s on %s: %w", c.argv[0], h.Name, err)
	}
	p := &process{cmd: cmd, name: c.argv[0] + " on " + h.Name, gone: make(chan struct{})}
	go func() { cmd.Wait(); close(p.gone) }()
	g.processes = append(g.processes, p)
	return nil
}

// process is a daemon that we started, by its pid.
type process struct {
	cmd  *exec.Cmd
	name string
	gone chan struct{}
}

// down ends all processes, the last first.
func (g *ground) down() (err error) {
	for len(g.processes) > 0 {
		last := len(g.processes) - 1
		err = errors.Join(err, g.processes[last].end())
		g.processes = g.processes[:last]
	}
	return err
}

// end sends a process and what it has forked a SIGTERM, and what is left after a while a SIGKILL.
func (p *process) end() error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		syscall.Kill(-p.cmd.Process.Pid, sig)
		select {
		case <-p.gone:
			return nil
		case <-time.After(5 * time.Second):
		}
	}
	return fmt.Errorf("end %s: it is still there", p.name)
}

// once runs a command in a host to its end; what it said is in the error.
func (g *ground) once(ctx context.Context, h *hosts.Host, dir string, c call) error {
	cmd := g.command(ctx, h, c)
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", c, err, said.String())
	}
	return nil
}
