package stress_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec/test/tools"
)

// The recipes of a build that is going to be interrupted. Each makes its target $1 by and by: what is in it before the last word is half made.
// Those that leave something behind do so where LEAVE is set.
var recipes = map[string]string{
	// The shell dies of the interrupt.
	"slow": `for i in 1 2 3 4 5 6 7 8; do echo half >>$1; sleep 0.03; done; echo whole >$1`,
	// It waits for its child, as bash does: it dies of what that has died of.
	"waits": `exec bash -c 'echo half >$1; sleep 0.4; sleep 0.01; echo whole >$1' bash $1`,
	// It has something to do first.
	"handles": `trap 'sleep 0.1; exit 3' INT TERM; echo half >$1; for i in 1 2 3 4 5 6 7 8; do sleep 0.04; done; echo whole >$1`,
	// It goes on as if nothing had happened. So make waits for it.
	"ignores": `trap '' INT TERM; echo half >$1; sleep 0.2; echo whole >$1`,
	// It has children of all kinds that heed nothing.
	"forks": `echo half >$1
leaf='trap "" HUP INT QUIT TERM; while :; do sleep 0.05; done'
if [ -n "$LEAVE" ]; then
	setsid sh -c "$leaf" >/dev/null 2>&1 &
	(setsid sh -c "$leaf" >/dev/null 2>&1 &)
	sh -c "$leaf" >/dev/null 2>&1 &
fi
sleep 0.3; echo whole >$1`,
	"quick": `echo whole >$1`,
}

// ground writes a project into a directory: for make, with makes below it here and on another node, or for ninja.
func ground(t *testing.T, dir string) {
	t.Helper()
	for name, script := range recipes {
		write(t, filepath.Join(dir, name), "#!/bin/sh\n"+script+"\n")
	}
	targets := func(prefix string, each int) (names []string) {
		for name := range recipes {
			for i := range each {
				names = append(names, fmt.Sprintf("%s-%d.%s", prefix, i, name))
			}
		}
		return names
	}
	rules := func(names []string) string {
		text := strings.Join(names, " ") + ":\n\t@./$(subst .,,$(suffix $@)) $@\n"
		return strings.ReplaceAll(text, "\n\t@./$(subst .,,$(suffix $@)) $@", "\n\t@./$(subst .,,$(suffix $@)) $@ && test $@ = $@")
	}
	for _, sub := range []string{"near", "far"} {
		names := targets(sub, 1)
		write(t, filepath.Join(dir, sub+".mk"), "all: "+strings.Join(names, " ")+"\n"+rules(names))
	}
	top := targets("top", 2)
	write(t, filepath.Join(dir, "Makefile"), "all: near far "+strings.Join(top, " ")+"\n"+rules(top)+
		"near:\n\t@$(MAKE) --no-print-directory -f near.mk\nfar:\n\t+@mexec -n 3 $(MAKE) --no-print-directory -f far.mk\n.PHONY: all near far\n")
	edges := "rule r\n  command = ./$script $out\n"
	for _, name := range append(top, targets("more", 2)...) {
		edges += fmt.Sprintf("build %s: r\n  script = %s\n", name, strings.TrimPrefix(filepath.Ext(name), "."))
	}
	write(t, filepath.Join(dir, "build.ninja"), edges)
}

// halfMade lists the targets that are there and not whole.
func halfMade(dir string) (bad []string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*-[0-9].*"))
	for _, f := range files {
		if b, _ := os.ReadFile(f); string(b) != "whole\n" {
			bad = append(bad, fmt.Sprintf("%s: %q", filepath.Base(f), b))
		}
	}
	return bad
}

// A way is how a person ends a build.
type way struct {
	name     string
	terminal bool
	signal   syscall.Signal
}

var ways = []way{
	{"Ctrl-C", true, syscall.SIGINT},
	{"kill -INT of the group", false, syscall.SIGINT},
	{"kill -TERM of the group", false, syscall.SIGTERM},
}

// A driver is what a person builds with: argv over the nodes, and what that stands for. A stock make that is interrupted with its whole group ends in
// one of two ways: of the signal, or with "wait: No child processes" and status 2 where it has heard of a child's death just before (10 of 240 times by
// SIGINT, 32 of 50 by SIGTERM). A stock ninja does so too: where the signal came while it was busy, it sees it pending, and dies of it when it takes its
// handlers back (65 of 200).
type driver struct {
	name  string
	ours  []string
	stock []string
	path  string // goes before PATH
	jobs  string
	ends  map[syscall.Signal][]string // how stock ends
}

func drivers(t *testing.T) []*driver {
	t.Helper()
	makes := map[syscall.Signal][]string{syscall.SIGINT: {"signal: interrupt", "exit status 2"}, syscall.SIGTERM: {"signal: terminated", "exit status 2"}}
	ninjas := map[syscall.Signal][]string{syscall.SIGINT: {"exit status 130", "signal: interrupt"}, syscall.SIGTERM: {"exit status 130", "signal: terminated"}}
	all := []*driver{{name: "make", ours: []string{"mpmake"}, stock: []string{"make"}, jobs: "-j12", ends: makes}}
	bin := t.TempDir()
	newer, ninja := filepath.Join(bin, "make"), filepath.Join(bin, "ninja")
	if err := errors.Join(os.Symlink(tools.Path(t, "make-4.4.1"), newer), os.Symlink(tools.Path(t, "ninja-1.13"), ninja)); err != nil {
		t.Fatal(err)
	}
	return append(all,
		&driver{name: "make 4.4.1", ours: []string{"mpmake"}, stock: []string{newer}, path: bin + ":", jobs: "-j12", ends: makes},
		&driver{name: "ninja", ours: []string{"mprun", ninja}, stock: []string{ninja}, jobs: "-j12", ends: ninjas})
}

// A build is one that is going to be interrupted.
type build struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	said   *os.File
	own    string   // its TMPDIR
	master *os.File // of its terminal; nil: it has none
	slave  *os.File
	before unix.Termios
	ended  chan time.Time
}

func begin(t *testing.T, cmd *exec.Cmd, dir string, atTerminal bool) *build {
	t.Helper()
	b := &build{t: t, dir: dir, cmd: cmd, ended: make(chan time.Time, 1)}
	var err error
	if b.said, err = os.Create(filepath.Join(dir, "said")); err != nil {
		t.Fatal(err)
	}
	cmd.Dir = dir
	if b.own, err = os.MkdirTemp("", "st"); err != nil { // short: a socket goes there
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, marked(dir), "LEAVE=yes", "TMPDIR="+b.own)
	cmd.Stdout, cmd.Stderr = b.said, b.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if atTerminal {
		b.master, b.slave = terminal(t)
		settings, err := unix.IoctlGetTermios(int(b.slave.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		b.before = *settings
		cmd.Stdin, cmd.Stdout, cmd.Stderr = b.slave, b.slave, b.slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		go func() { // what is on the screen; it ends with the last who has the terminal
			buf := make([]byte, 4096)
			for {
				n, err := b.master.Read(buf)
				b.said.Write(buf[:n])
				if err != nil {
					return
				}
			}
		}()
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		b.ended <- time.Now()
	}()
	return b
}

func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// interrupt ends the build. false: it was over.
func (b *build) interrupt(w way) bool {
	b.t.Helper()
	select {
	case at := <-b.ended:
		b.ended <- at
		return false
	default:
	}
	if w.terminal {
		if _, err := b.master.Write([]byte{3}); err != nil {
			b.t.Fatal(err)
		}
		return true
	}
	return syscall.Kill(-b.cmd.Process.Pid, w.signal) == nil
}

// succeeded says that the build has ended well: what it leaves is its own affair.
func (b *build) succeeded() bool {
	select {
	case at := <-b.ended:
		b.ended <- at
		return b.cmd.ProcessState.Success()
	default:
		return false
	}
}

func (b *build) close() {
	os.RemoveAll(b.own)
	for _, f := range []*os.File{b.said, b.master, b.slave} {
		if f != nil {
			f.Close()
		}
	}
}

func (b *build) screen() string {
	text, _ := os.ReadFile(b.said.Name())
	return string(text)
}

// equip lets a command find the driver, and the makes below it.
func (d *driver) equip(cmd *exec.Cmd) {
	for i, kv := range cmd.Env {
		if rest, ok := strings.CutPrefix(kv, "PATH="); ok {
			cmd.Env[i] = "PATH=" + d.path + rest
		}
	}
}

// check holds what is said of stock against it.
func (d *driver) check(t *testing.T) {
	t.Helper()
	for _, w := range ways[1:] {
		dir := t.TempDir()
		ground(t, dir)
		cmd := exec.Command(d.stock[0], d.jobs, "top-0.slow", "top-1.slow")
		b := begin(t, cmd, dir, false)
		waitFor(t, "the targets are half made", func() bool { return len(halfMade(dir)) == 2 })
		b.interrupt(w)
		<-b.ended
		if how := cmd.ProcessState.String(); !slices.Contains(d.ends[w.signal], how) {
			t.Errorf("%s of stock %s ends it with %s", w.name, d.name, how)
		}
		b.close()
		gone(t, dir, nil)
	}
}

func waitFor(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); !yes(); time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("%s: not so after 20 s", what)
		}
	}
}

func TestAtAnyMomentAnInterruptEndsTheWholeBuildWithinASecond(t *testing.T) {
	node1 := four(t)[0]
	n, random := draws(t, 21, 200)
	all := drivers(t)
	took := map[string]times{}
	beside, aborted := 0, 0
	length := map[*driver]time.Duration{}
	for _, d := range all {
		d.check(t)
	}
	for i := range n {
		d, w := all[i%len(all)], ways[i/len(all)%len(ways)]
		if length[d] == 0 {
			length[d] = 1500 * time.Millisecond
		}
		moment := time.Duration(random.Int64N(int64(length[d])))
		dir := filepath.Join(t.TempDir(), "build")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		ground(t, dir)
		name := fmt.Sprintf("draw %d, %s after %v of %s", i, w.name, moment.Round(time.Millisecond), d.name)
		argv := append(append([]string{}, d.ours...), d.jobs)
		cmd := node1.Command(argv[0], argv[1:]...)
		d.equip(cmd)
		b := begin(t, cmd, dir, w.terminal)
		<-time.After(moment)
		if !b.interrupt(w) {
			length[d] = moment * 9 / 10 // it is over sooner than we thought
		}
		interrupted := time.Now()
		at := gone(t, dir, b)
		<-b.ended
		how := cmd.ProcessState.String()
		if how == "exit status 0" { // it was over, or as good as
			beside++
			for _, pid := range living(dir) {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		} else if took[w.name] = append(took[w.name], at.Sub(interrupted)); at.Sub(interrupted) > promised {
			t.Errorf("%s: the last process was gone after %v", name, at.Sub(interrupted))
		}
		// make's handler allocates, and where it interrupts make's own malloc the C library ends it: 2 of 1,022 interrupts of stock make on a
		// makefile of short recipes. It deletes nothing then, and its caller says "Aborted".
		if screen := b.screen(); strings.Contains(screen, "malloc") || strings.Contains(screen, "glibc error") {
			t.Logf("%s: make's allocator was interrupted:\n%s", name, screen)
			aborted++
			for _, bad := range halfMade(dir) {
				file, _, _ := strings.Cut(bad, ":")
				os.Remove(filepath.Join(dir, file))
			}
			how = "exit status 0" // no status to speak of
		}
		if how != "exit status 0" && !slices.Contains(d.ends[w.signal], how) {
			t.Errorf("%s: it ended with %s, where %s ends with %v:\n%s", name, how, d.name, d.ends[w.signal], b.screen())
		}
		if bad := halfMade(dir); len(bad) > 0 {
			t.Errorf("%s: half-made targets are left: %v\n%s", name, bad, b.screen())
		}
		if ours, _ := filepath.Glob(filepath.Join(b.own, "mp*")); len(ours) > 0 {
			t.Errorf("%s: %v is left", name, ours)
		}
		if w.terminal {
			after, err := unix.IoctlGetTermios(int(b.slave.Fd()), unix.TCGETS)
			if err != nil || *after != b.before {
				t.Errorf("%s: the terminal has %+v, and had %+v: %v", name, after, b.before, err)
			}
		}
		b.close()
		idle(t)
		again := node1.Command(argv[0], argv[1:]...)
		d.equip(again)
		again.Dir, again.Env = dir, append(again.Env, marked(dir))
		if out, err := again.CombinedOutput(); err != nil || len(halfMade(dir)) > 0 {
			t.Errorf("%s: the second time: %v, %v\n%s", name, err, halfMade(dir), out)
		}
	}
	if aborted > 1+n/50 {
		t.Errorf("make's allocator was interrupted %d times in %d draws", aborted, n)
	}
	t.Logf("%d came too late, %d interrupted make's allocator", beside, aborted)
	for _, w := range ways {
		t.Logf("%s: until the last process was gone: %v", w.name, took[w.name])
	}
}
