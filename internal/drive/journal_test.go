package drive

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mexec"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "burn" {
		burn(os.Args[2], os.Args[3])
		return
	}
	os.Exit(m.Run())
}

func cpu(who int) time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(who, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// burn is a command that uses so much, and says in the file name how much it was.
func burn(length, name string) {
	want, _ := time.ParseDuration(length)
	for cpu(syscall.RUSAGE_SELF) < want {
		for i, end := 0, time.Now().Add(time.Millisecond); i < 1000 && time.Now().Before(end); i++ {
		}
	}
	os.WriteFile(name, fmt.Append(nil, int64(cpu(syscall.RUSAGE_SELF))), 0o644)
}

// install puts what make has built beside this program, where mpmake looks for it.
func install(t *testing.T) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mexec", "libmexec-preload.so", "mexec-stage"} {
		built, err := filepath.Abs("../../bin/" + name)
		if err == nil {
			_, err = os.Stat(built)
		}
		if err != nil {
			t.Skipf("make has not built %s: %v", name, err)
		}
		if err := os.Symlink(built, filepath.Join(filepath.Dir(exe), name)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
}

type heard []mexec.Event

func (h *heard) Events(events []mexec.Event) { *h = append(*h, events...) }

// hear runs a tool alone on this node, in dir, where it also remembers what it has learned, and returns what was told of it, and what it and all below it have used.
func hear(t *testing.T, dir, tool string, equip func(*exec.Cmd), args ...string) (heard, time.Duration) {
	t.Helper()
	install(t)
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Skip(err)
	}
	var h heard
	b := &build{name: "mpmake", args: args, environ: append([]string{"MEXEC_SOCKET=/nonexistent", "XDG_CACHE_HOME=" + dir}, os.Environ()...), stderr: os.Stderr, sinks: []sink{&h}}
	before := cpu(syscall.RUSAGE_CHILDREN)
	status, err := b.run(path, tool, func(cmd *exec.Cmd, _ jobs) error {
		cmd.Dir = dir
		equip(cmd)
		return nil
	})
	if err != nil || status.ExitStatus() != 0 {
		t.Fatalf("%v, %v", status, err)
	}
	return h, cpu(syscall.RUSAGE_CHILDREN) - before
}

// end finds the end of a process, of which there is one.
func (h heard) end(t *testing.T, pid int) mexec.Event {
	t.Helper()
	var found mexec.Event
	for _, e := range h {
		if e.Kind == mexec.Reaped && e.PID == pid {
			if found.PID != 0 {
				t.Errorf("two ends of %d", pid)
			}
			found = e
		}
	}
	if found.PID == 0 {
		t.Errorf("no end of %d in %+v", pid, h)
	}
	return found
}

// find finds an event of a command; kind "" is any.
func (h heard) find(t *testing.T, kind mexec.EventKind, command string) mexec.Event {
	t.Helper()
	for _, e := range h {
		if (e.Kind == kind || kind == "") && strings.Contains(e.Command, command) {
			return e
		}
	}
	t.Fatalf("no %s of %q in %+v", kind, command, h)
	return mexec.Event{}
}

func (h heard) sum() (all time.Duration) {
	for _, e := range h {
		if e.Kind == mexec.Reaped {
			all += e.Usage.User + e.Usage.System
		}
	}
	return all
}

// near allows for what a process uses after it has looked, and for a machine that is busy.
func near(got, want time.Duration) bool {
	return got >= want-time.Millisecond && got <= want+50*time.Millisecond
}

// helpers measures what the processes of the daemon that mpmake brings along use: they are our children too, and no part of a build.
func helpers(t *testing.T) time.Duration {
	t.Helper()
	h, all := hear(t, t.TempDir(), "true", func(*exec.Cmd) {})
	t.Logf("the daemon's own processes have used %v", all-h.sum())
	return max(0, all-h.sum())
}

func burnt(t *testing.T, name string) time.Duration {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	fmt.Sscan(string(b), &n)
	return time.Duration(n)
}

// Each command here is the driver's child, and the daemon hears nothing of what it has used. With a fifo for a jobserver (make 4.4) nobody can tell
// what is marked +: it travels then.
func TestWhatRanHereIsToldExactly(t *testing.T) {
	dir := t.TempDir()
	exe, _ := os.Executable()
	link := filepath.Join(dir, "b") // a command that is not cut short
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	makefile := `
X := $(shell ./b burn 100ms function)
all: placed line plus nested
placed: ; ./b burn 300ms placed
line: ; ./b burn 120ms line && ./b burn 130ms line2
plus: ; +./b burn 150ms plus
nested: ; : a shell; (: and its copy; $(MAKE) -s -f sub); :
`
	sub := "all: ; ./b burn 200ms deep\n\t+./b burn 110ms deeper\n"
	for name, text := range map[string]string{"Makefile": makefile, "sub": sub} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h, all := hear(t, dir, "make", func(*exec.Cmd) {}, "-s", "-j2")

	for _, c := range []struct {
		kind          mexec.EventKind
		command, file string
		why           string
	}{
		{mexec.Received, "burn 300ms placed", "placed", ""},
		{mexec.Received, "burn 200ms deep", "deep", ""},
		{"", "burn 150ms plus", "plus", ""},
		{"", "burn 110ms deeper", "deeper", ""},
		{mexec.Kept, "burn 100ms function", "function", "$(shell)"},
	} {
		e := h.find(t, c.kind, c.command)
		u := h.end(t, e.PID).Usage
		if want := burnt(t, filepath.Join(dir, c.file)); !near(u.User+u.System, want) || u.MaxRSS == 0 || c.kind != "" && e.Why != c.why {
			t.Errorf("%+v has used %+v, not %v", e, u, want)
		}
	}
	u := h.end(t, h.find(t, mexec.Received, "120ms line").PID).Usage
	if want := burnt(t, filepath.Join(dir, "line")) + burnt(t, filepath.Join(dir, "line2")); !near(u.User+u.System, want) {
		t.Errorf("a line has used %+v, not %v", u, want)
	}
	// Its commands have told theirs.
	if u := h.end(t, h.find(t, mexec.Kept, "and its copy").PID).Usage; u.User+u.System > 60*time.Millisecond {
		t.Errorf("the nested make has used %+v itself", u)
	}
	if sum := h.sum(); sum < all-helpers(t)-time.Millisecond || sum > all+time.Millisecond {
		t.Errorf("all have used %v, and %v was told", all, sum)
	}
	for _, e := range h {
		if e.Kind == mexec.Gap && e.Source == journalSource {
			t.Errorf("%+v", e)
		}
	}
}

// A shell is a tool whose copies are drivers as well.
func TestOfAToolsCopiesEachIsToldOnce(t *testing.T) {
	dir := t.TempDir()
	exe, _ := os.Executable()
	if err := os.Symlink(exe, filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	script := "(./b burn 60ms one; (./b burn 60ms two; ./b burn 60ms three) & wait; :) & x=$(./b burn 60ms four; :); make -s -f sub; wait; ./b burn 60ms five; :"
	if err := os.WriteFile(filepath.Join(dir, "sub"), []byte("all: ; ./b burn 60ms six\n\t+./b burn 60ms seven\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h, all := hear(t, dir, "sh", func(cmd *exec.Cmd) {
		cmd.Env = set(cmd.Env, "MEXEC_POLICY", fmt.Sprintf("%d -rm", os.Getpid()))
	}, "-c", script)
	for _, name := range []string{"one", "two", "three", "four", "five", "six"} {
		u := h.end(t, h.find(t, mexec.Received, "burn 60ms "+name).PID).Usage
		if want := burnt(t, filepath.Join(dir, name)); !near(u.User+u.System, want) {
			t.Errorf("%s has used %+v, not %v", name, u, want)
		}
	}
	if sum := h.sum(); sum < all-helpers(t)-time.Millisecond || sum > all+time.Millisecond {
		t.Errorf("all have used %v, and %v was told", all, sum)
	}
}
