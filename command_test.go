package mexec_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mexec"
)

// The test program executes what it is told to, when it is told to.
func TestMain(m *testing.M) {
	if path := os.Getenv("MEXEC_TEST_EXEC"); path != "" {
		err := mexec.Exec(path, os.Args[1:], os.Environ())
		os.Stderr.WriteString(err.Error())
		os.Exit(99)
	}
	os.Exit(m.Run())
}

// fakeStub is a stub that says what it was given, and ends with status 9.
func fakeStub(t *testing.T) string {
	stub := filepath.Join(t.TempDir(), "stub")
	write(t, stub, "#!/bin/sh\nprintf '[%s]' \"$@\"\nexit 9\n", 0o700)
	return stub
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsThereGoesBehindTheStub(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	stub := fakeStub(t)
	for _, c := range []struct {
		o    mexec.Options
		cmd  []string
		want string
	}{
		{mexec.Options{}, []string{"sh", "-c", "exit 5"}, "[-p][-a][sh][--][" + sh + "][-c][exit 5]"},
		{mexec.Options{}, []string{"/bin/sh"}, "[-p][--][/bin/sh]"},
		{mexec.Options{Nodes: "1-3,5", Verbose: true}, []string{"/bin/sh", ""}, "[-p][-n][1-3,5][-v][--][/bin/sh][]"},
	} {
		c.o.Stub = stub
		out, err := c.o.Command(c.cmd[0], c.cmd[1:]...).Output()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 9 || string(out) != c.want {
			t.Errorf("%q: %s, %v; not %s", c.cmd, out, err, c.want)
		}
	}
}

func TestTheStubIsTheOptionsThenTheDriversThenTheVariables(t *testing.T) {
	one, two, three := fakeStub(t), fakeStub(t), fakeStub(t)
	path := func(o mexec.Options) string { return o.Command("sh").Path }
	t.Setenv("MEXEC_STUB", one)
	if got := path(mexec.Options{}); got != one {
		t.Error(got)
	}
	t.Setenv("MEXEC_DRIVER", "b7:"+two+":/nobody")
	if got := path(mexec.Options{}); got != two {
		t.Error(got)
	}
	if got := path(mexec.Options{Stub: three}); got != three {
		t.Error(got)
	}
}

// Errors are os/exec's own: each command is compared with exec.Command's.
func TestWhatCannotBeStartedFailsAsWithoutUs(t *testing.T) {
	t.Setenv("MEXEC_STUB", fakeStub(t))
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "plain", "x", 0o600)
	write(t, "text", "exit 5\n", 0o700)
	write(t, "no-interpreter", "#!/nosuch/sh\n", 0o700)
	for _, name := range []string{
		"no-such-program", "/no/such/program", "./none", "./plain", "./text", "./no-interpreter", "/", "./plain/x", "", ".",
		strings.Repeat("x", 300), filepath.Join(dir, "text"),
	} {
		ours, theirs := mexec.Command(name, "arg").Run(), exec.Command(name, "arg").Run()
		if ours == nil || theirs == nil || ours.Error() != theirs.Error() {
			t.Errorf("%q: %v, and without us %v", name, ours, theirs)
		}
		for _, kind := range []error{exec.ErrNotFound, exec.ErrDot, syscall.ENOENT, syscall.EACCES, syscall.ENOEXEC, syscall.ENOTDIR} {
			if errors.Is(ours, kind) != errors.Is(theirs, kind) {
				t.Errorf("%q: %v is %v, or not, as is %v", name, ours, kind, theirs)
			}
		}
	}
}

func TestWithoutAStubCommandsRunHere(t *testing.T) {
	o := mexec.Options{Stub: "/no/such/stub", Nodes: "7"}
	out, err := o.Command("echo", "a").Output()
	if err != nil || string(out) != "a\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestExecIsExecveBehindTheStub(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text")
	write(t, text, "exit 5\n", 0o700)
	for _, c := range []struct {
		path, stub, want string
	}{
		{"/bin/sh", fakeStub(t), "[-p][-a][name][--][/bin/sh][-c][echo $0 here][sh] 9"},
		{"/bin/sh", "/no/such/stub", "sh here\n 0"},
		{"/no/such/program", fakeStub(t), "no such file or directory 99"},
		{"/", fakeStub(t), "permission denied 99"},
		{text, fakeStub(t), "exec format error 99"},
	} {
		cmd := exec.Command(self, "name", "-c", "echo $0 here", "sh")
		cmd.Env = append(os.Environ(), "MEXEC_TEST_EXEC="+c.path, "MEXEC_STUB="+c.stub)
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if got := fmt.Sprint(string(out), " ", cmd.ProcessState.ExitCode()); got != c.want {
			t.Errorf("%s behind %s: %q, not %q", c.path, c.stub, got, c.want)
		}
	}
}
