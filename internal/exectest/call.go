package exectest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds one call.
const patience = 2 * time.Minute

// Call is one execution, as a test wants it. DIR in any of its strings is the test's directory.
type Call struct {
	Setup []string // words of the caller's orders: what it makes of itself (launch.c)
	Path  string   // "": the probe in the test's directory
	Argv  []string // nil: the path alone
	Env   []string
	Way   string // the function; "": execve
	NoArg bool   // not even argument 0

	Stdin          io.Reader // nil: the null device
	Stdout, Stderr *os.File  // nil: a pipe that is read to its end
	Sys            *syscall.SysProcAttr
}

// NoPath as a Path is the empty one.
const NoPath = "-"

// orders splits a line of orders into words, for those that have no blanks in them.
func orders(line string) []string { return strings.Fields(line) }

// stage is one test's directory, and the runner.
type stage struct {
	t      testing.TB
	r      Runner
	dir    string
	serial int
}

func newStage(t testing.TB, r Runner) *stage {
	t.Helper()
	dir, err := os.MkdirTemp(r.Dir, "case")
	if err != nil {
		t.Fatal(err)
	}
	// It stays until its owner removes all: a home remembers for a while which directory a node refused, and the number of one that is
	// gone would be the next one's.
	if err := errors.Join(os.Chmod(dir, 0o777), os.Link(r.Probe, filepath.Join(dir, "probe"))); err != nil {
		t.Fatal(err)
	}
	return &stage{t: t, r: r, dir: dir}
}

// kernel is the reference to s.r: the same caller and the same environment, and the kernel's execve.
func (s *stage) kernel() Runner {
	k := s.r
	k.Stub, k.Node, k.Launch = nil, k.Home, k.Kernel
	return k
}

// path is a file of the test's directory.
func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) here(list []string) []string {
	list = slices.Clone(list)
	for i := range list {
		list[i] = strings.ReplaceAll(list[i], "DIR", s.dir)
	}
	return list
}

// words are the orders for the caller of c by way of r.
func (s *stage) words(c Call, r Runner) []string {
	path, argv, env := strings.ReplaceAll(c.Path, "DIR", s.dir), s.here(c.Argv), append(s.here(c.Env), r.Env...)
	switch c.Path {
	case "":
		path = s.path("probe")
	case NoPath:
		path = ""
	}
	if len(argv) == 0 && !c.NoArg {
		argv = []string{path}
	}
	way := c.Way
	if way == "" {
		way = "execve"
	}
	shell := way == "system" || way == "popen" // which take one string
	switch {
	case shell && r.Stub != nil:
		argv = []string{strings.Join(r.Stub, " ") + " " + strings.Join(argv, " ")}
	case shell:
		argv = []string{strings.Join(argv, " ")}
	case r.Stub != nil:
		// A function that looks for the file along PATH is a mexec that does so.
		search := strings.HasSuffix(way, "p") && way != "popen" || strings.HasSuffix(way, "pe")
		front := append([]string{"mexec"}, r.Stub[1:]...)
		if search {
			path, way = filepath.Base(path), notAlong[way]
		} else {
			front = append(front, "-p")
		}
		if len(argv) == 0 {
			argv = []string{""} // as the kernel itself does since Linux 5.18
		}
		if argv[0] != path {
			front = append(front, "-a", argv[0])
		}
		argv = append(append(front, "--", path), argv[1:]...)
		path = r.Stub[0]
	}
	w := append(s.here(c.Setup), "path", path)
	for _, a := range argv {
		w = append(w, "arg", a)
	}
	for _, e := range env {
		w = append(w, "env", e)
	}
	return append(w, "call", way)
}

// notAlong are the functions that do not look along PATH themselves.
var notAlong = map[string]string{"execvp": "execv", "execvpe": "execve", "execlp": "execl", "posix_spawnp": "posix_spawn"}

// prepare is c as a command by way of r, not started. Its first process is the one that the caller of the program would wait for.
func (s *stage) prepare(c Call, r Runner) (cmd *exec.Cmd, errnoFile string) {
	s.t.Helper()
	s.serial++
	spec := s.path(fmt.Sprintf("spec%d", s.serial))
	var b bytes.Buffer
	for _, w := range s.words(c, r) {
		b.WriteString(w)
		b.WriteByte(0)
	}
	if err := os.WriteFile(spec, b.Bytes(), 0o644); err != nil {
		s.t.Fatal(err)
	}
	os.Remove(s.path("transcript"))
	cmd = r.Command(r.Launch[0], append(r.Launch[1:len(r.Launch):len(r.Launch)], spec)...)
	cmd.Dir = s.dir
	cmd.Stdin = c.Stdin
	cmd.SysProcAttr = c.Sys
	cmd.WaitDelay = 5 * time.Second
	return cmd, spec + ".errno"
}

// run makes the call and takes down what there was to see.
func (s *stage) run(c Call, r Runner) Outcome {
	s.t.Helper()
	cmd, errnoFile := s.prepare(c, r)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	if c.Stderr != nil {
		cmd.Stderr = c.Stderr
	}
	if err := s.start(cmd); err != nil {
		s.t.Fatal(err)
	}
	s.wait(cmd)
	return s.outcome(cmd, r, errnoFile, out.String(), errs.String())
}

func (s *stage) start(cmd *exec.Cmd) error { return cmd.Start() }

// wait waits for a call's end, and kills one that has none.
func (s *stage) wait(cmd *exec.Cmd) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	stop()
	late := ctx.Err() != nil
	cancel()
	if late {
		s.t.Fatalf("%q: not over after %v", cmd.Args, patience)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("%q: %v", cmd.Args, err)
	}
}

// same makes the call by the kernel and by the runner, and compares.
func (s *stage) same(c Call) {
	s.t.Helper()
	want := s.run(c, s.kernel())
	s.compare(want, s.run(c, s.r))
}

// compare reports what differs and is not declared.
func (s *stage) compare(want, got Outcome) {
	s.t.Helper()
	s.r.Report.compare(s.t, s.r.test, s.r.Name, want, got)
}

// refused is how mexec says execve's errno, as a shell does: by 126 or 127 and a line.
func refused(code int, errs string) string {
	text, ok := strings.CutPrefix(strings.TrimSuffix(errs, "\n"), "mexec: ")
	if !ok || code != 126 && code != 127 {
		return ""
	}
	text = text[strings.LastIndex(text, ": ")+1:]
	for e := syscall.Errno(1); e < 134; e++ {
		if strings.EqualFold(strings.TrimSpace(text), said(e)) && (code == 127) == (e == syscall.ENOENT) {
			return e.Error()
		}
	}
	return ""
}

// said is strerror(3) of musl, which the stub is linked with, where it is not Go's text.
func said(e syscall.Errno) string {
	switch e {
	case syscall.ELOOP:
		return "symbolic link loop"
	case syscall.ENAMETOOLONG:
		return "filename too long"
	case syscall.ELIBBAD:
		return "no error information"
	case syscall.E2BIG:
		return "argument list too long"
	case syscall.EAGAIN:
		return "resource temporarily unavailable"
	}
	return e.Error()
}

func readErrno(path string) string {
	b, err := os.ReadFile(path)
	if n, nerr := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && nerr == nil {
		return syscall.Errno(n).Error()
	}
	return ""
}
