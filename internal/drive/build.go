// Package drive runs build tools over the cluster: the stock tool, with the preload shim that puts the stub in front of what it spawns. It is mpmake,
// for GNU make, and mprun, for any tool.
//
// It tells the tool how many jobs may run, by the slots of the cluster, and nothing else: every option and target is the tool's but for a few of ours
// (options.go), as are its output and its exit status. A tool that can be a client of a jobserver is one of ours, whose tokens follow the cluster
// (elastic.go). Beside the daemon of this node, which need not exist, stands a daemon of its own, alone and on a private socket: a command that finds
// no other goes there, so that no more commands run here at once than this node has slots, whatever happens to the cluster.
//
// Who watches a build (watch.go) is told what becomes of its commands: the block on the terminal and what is said after it (view.go), the jobserver,
// and what is learned for the next build (learn.go, past.go). While it runs, the build waits for none of them.
package drive

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mexec"
	"mexec/internal/ctl"
	"mexec/internal/daemon"
	"mexec/internal/gauge"
	"mexec/internal/journal"
	"mexec/internal/ledger"
	"mexec/internal/place"
	"mexec/internal/trace"
)

// ask bounds how long the daemon may take to say what nodes there are.
const ask = 2 * time.Second

// build is one run of a tool.
type build struct {
	name    string   // of ours: mpmake or mprun
	args    []string // of the tool
	environ []string
	stderr  io.Writer
	options options

	id     mexec.BuildID
	nested bool   // under another of ours, which counts and sums up
	whole  bool   // the tool travels itself
	socket string // of this node's daemon
	alone  string // of our own
	pool   *pool  // nil: its jobs are counted by somebody else
	sinks  []sink // they hear what happens to it

	journal  *journal.Journal // nil: there is none
	learning *learning        // nil: nothing is learned
	escapes  string           // why the shim can't see what the tool starts
	traced   *trace.Driver    // in place of it
	notes    []string         // that nothing travels, and why
	below    below
}

// run runs the program as argv0. equip changes its arguments and environment where it must know more, how many jobs may run above all.
func (b *build) run(path, argv0 string, equip func(cmd *exec.Cmd, j jobs) error) (syscall.WaitStatus, error) {
	// What mexecd does, and why, is said in daemon.Main. A tracer waits in the kernel for most of its time, and each time would give its processor away.
	if b.traced == nil && b.getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/4))
	}
	signals := heed()
	defer signal.Stop(signals)
	short, err := shortLimit(b.getenv)
	if err != nil {
		return 0, err
	}
	b.socket = ctl.Socket(b.getenv)
	cmd := exec.Command(path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Args = append([]string{argv0}, b.args...)
	var v *view
	if _, above, ok := strings.Cut(b.getenv("MEXEC_DRIVER"), ":"); ok && above != "" {
		b.nested = true
		cmd.Env = slices.Clone(b.environ)
	} else {
		if v, err = b.open(path); err != nil {
			return 0, err
		}
		defer v.close()
		b.sinks = append(b.sinks, v)
		dir, err := b.place()
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		b.id = mexec.BuildID(rand.Text())
		b.alone = filepath.Join(dir, "mexecd.sock")
		own, err := daemon.Open(daemon.Config{Socket: b.alone, Root: os.Getpid(), Trace: b.below.trace})
		if err != nil {
			return 0, err
		}
		defer own.Close()
		if cmd.Env, err = b.shim(); err != nil {
			return 0, err
		}
		if len(b.sinks) > 0 {
			// Without one the build is as good, and only less is known of it.
			if b.journal, err = journal.Open(b.id); err == nil {
				defer b.journal.Close()
				cmd.Env = set(cmd.Env, journal.Variable, b.journal.Name())
			}
		}
		if b.learning = newLearning(b.journal, short, ctl.Cached(b.getenv, "kinds")); b.learning != nil {
			b.sinks = append(b.sinks, b.learning)
		}
	}
	if err := equip(cmd, b.jobs()); err != nil {
		return 0, err
	}
	told := cmd.Args
	if b.whole {
		behindStub(cmd)
	}
	if b.nested { // another of ours sums up
		tool, err := b.supervise(cmd, signals, func() {})
		if err != nil {
			return 0, err
		}
		return tool.status, nil
	}
	v.begin(time.Now())
	stop := b.watch(b.sinks...)
	tool, err := b.supervise(cmd, signals, func() { b.pool.started(cmd.Process.Pid) })
	ended := time.Now()
	v.clear()
	stop(tool)
	b.learning.save()
	b.pool.close(b)
	if err != nil {
		return 0, err
	}
	v.end(told, tool, ended)
	return tool.status, nil
}

// longest is what the name of a socket may have, less what the kernel needs behind it.
const longest = len(syscall.RawSockaddrUnix{}.Path) - 1

// place makes the directory of the build's own files. One of them is a socket, whose name has to be short. A TMPDIR that is not there is no reason for us to
// end, as it is none for make.
func (b *build) place() (string, error) {
	tmp, err := filepath.Abs(cmp.Or(b.getenv("TMPDIR"), "/tmp")) // for who looks for it from elsewhere
	if err != nil {
		tmp = "/tmp"
	}
	dir, err := os.MkdirTemp(tmp, b.name)
	if err != nil || len(filepath.Join(dir, "mexecd.sock")) > longest {
		os.Remove(dir)
		dir, err = os.MkdirTemp("/tmp", b.name)
	}
	return dir, err
}

func (b *build) getenv(name string) string { return lookup(b.environ, name) }

func lookup(environ []string, name string) string {
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// shim is the environment that puts the stub in front of what the tool spawns. The stub takes it out again for the commands.
func (b *build) shim() ([]string, error) {
	stub, preload := daemon.Beside("mexec"), daemon.Beside("libmexec-preload.so")
	for _, p := range []string{stub, preload} {
		if _, err := os.Stat(p); err != nil {
			return nil, err
		}
		if strings.ContainsAny(p, ": ") { // ld.so splits there
			return nil, fmt.Errorf("%s: a blank or colon in the path of mexec: install it elsewhere", p)
		}
	}
	env := slices.DeleteFunc(slices.Clone(b.environ), func(kv string) bool { return strings.HasPrefix(kv, "LD_PRELOAD=") })
	if others := b.getenv("LD_PRELOAD"); others != "" {
		preload += ":" + others
	}
	return append(env, "LD_PRELOAD="+preload, fmt.Sprintf("MEXEC_DRIVER=%s:%s:%s", b.id, stub, b.alone)), nil
}

// behindStub puts the stub in front of the tool itself, as the shim does for what a tool starts (libmexec/wrap.c).
func behindStub(cmd *exec.Cmd) {
	cmd.Args = append([]string{"mexec", "-a", cmd.Args[0], "--", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = stubPath()
}

// slots is how many commands the cluster can run at once, as far as NODES lets them go there.
func (b *build) slots() int {
	ctx, cancel := context.WithTimeout(context.Background(), ask)
	defer cancel()
	var nodes []mexec.Node
	if ctl.Query(ctx, b.socket, "nodes", &nodes) != nil && (b.alone == "" || ctl.Query(ctx, b.alone, "nodes", &nodes) != nil) {
		return gauge.Slots() // as many as the daemon of a build around this one has, or of the build that is explained
	}
	wish, err := place.ParseNodes(b.getenv("NODES"))
	if err != nil {
		wish = place.Nodes{} // each command will say so
	}
	total, self := 0, 1
	for _, n := range nodes {
		if n.State == mexec.Self {
			self = n.Slots
		}
		if (n.State == mexec.Up || n.State == mexec.Self) && wish.Match(&n) {
			total += n.Slots
		}
	}
	if total == 0 {
		return self
	}
	return total
}

// end ends as the tool did: of the same signal, where it died of one.
func end(status syscall.WaitStatus) int {
	if !status.Signaled() {
		return status.ExitStatus()
	}
	s := status.Signal()
	signal.Reset(s)
	var standard [4]uint64 // a struct sigaction. Go has handlers that would print its stacks (SIGSEGV, SIGABRT …) or do nothing (SIGPIPE, SIGUSR1 …)
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&standard)), 0, 8, 0, 0)
	syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	syscall.Kill(os.Getpid(), s)
	time.Sleep(time.Second) // it reaches any thread of ours, and must not be outrun by our exit
	return 128 + int(s)
}

// counts is how many commands started on each node, how many were lost and how many ran again, by the books of the daemons that still have one.
func (b *build) counts() (byNode map[mexec.NodeID]int, lost, reruns int) {
	ctx, cancel := context.WithTimeout(context.Background(), ask)
	defer cancel()
	byNode = map[mexec.NodeID]int{}
	for _, socket := range []string{b.socket, b.alone} {
		var sums ledger.Build
		if ctl.Query(ctx, socket, "build "+string(b.id), &sums) != nil {
			continue
		}
		for node, n := range sums.ByNode {
			byNode[node] += n
		}
		lost += sums.Lost
		reruns += sums.Reruns
	}
	return byNode, lost, reruns
}
