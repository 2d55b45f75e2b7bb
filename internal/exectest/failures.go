package exectest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Every errno that execve can give while the caller is still there.

var failures = map[string]Test{
	"ENOENT: no such program":              same(Call{Path: "DIR/none"}),
	"ENOENT: an empty path":                same(Call{Path: NoPath, Argv: []string{"x"}}),
	"ENOENT: a link to nothing":            made(func(s *stage) error { return os.Symlink("nothing", s.path("link")) }, Call{Path: "DIR/link"}),
	"ENOENT: no such directory":            same(Call{Path: "DIR/none/probe"}),
	"ENOENT: a script without interpreter": script("#!/nowhere/sh\n"),
	"ENOENT: no such loader":               loader("/nowhere/ld.so"),
	"EACCES: not executable":               made(func(s *stage) error { return os.WriteFile(s.path("x"), []byte("#!/bin/sh\n"), 0o644) }, Call{Path: "DIR/x"}),
	"EACCES: a directory":                  same(Call{Path: "DIR"}),
	"EACCES: a directory by a slash":       same(Call{Path: "DIR/"}),
	"EACCES: a device":                     same(Call{Path: "/dev/null"}),
	"EACCES: a fifo":                       made(func(s *stage) error { return syscall.Mkfifo(s.path("x"), 0o755) }, Call{Path: "DIR/x"}),
	"EACCES: a socket":                     same(Call{Path: "/run/mexec/mexecd.sock"}),
	"EACCES: not for this user":            made(func(s *stage) error { return s.copyProbe("mine", 0o700, 0, 0) }, Call{Path: "DIR/mine", Setup: orders(user)}),
	"EACCES: for this group only":          made(func(s *stage) error { return s.copyProbe("group", 0o750, 0, 24) }, Call{Path: "DIR/group", Setup: orders(user)}),
	"EACCES: behind a closed directory": made(func(s *stage) error {
		return errors.Join(mkdir(s.path("closed"), 0o700), os.Link(s.path("probe"), s.path("closed/probe")))
	}, Call{Path: "DIR/closed/probe", Setup: orders(user)}),
	"EACCES: an interpreter not to run":   script("#!/etc/passwd\n"),
	"EACCES: an interpreter directory":    script("#!/tmp\n"),
	"EACCES: a loader not to run":         loader("/etc/passwd"),
	"group may: for this group":           made(func(s *stage) error { return s.copyProbe("group", 0o750, 0, 24) }, Call{Path: "DIR/group", Setup: orders("groups 24 gid 1000 1000 1000 uid 1000 1000 1000")}),
	"ENOTDIR: below a file":               same(Call{Path: "DIR/probe/x"}),
	"ENOTDIR: a file by a slash":          same(Call{Path: "DIR/probe/"}),
	"ELOOP: a link to itself":             made(func(s *stage) error { return os.Symlink("link", s.path("link")) }, Call{Path: "DIR/link"}),
	"ELOOP: too many links":               chain(45),
	"ELOOP: interpreters of interpreters": nested(8),
	"ENAMETOOLONG: a name":                same(Call{Path: "DIR/" + strings.Repeat("n", 256)}),
	"ENAMETOOLONG: a path":                same(Call{Path: "DIR/" + strings.Repeat("./", 2100) + "probe"}),
	"ENOEXEC: a text":                     script("echo hello\n"),
	"ENOEXEC: empty":                      script(""),
	"ENOEXEC: a byte":                     script("\x00"),
	"ENOEXEC: no interpreter after #!":    script("#!\n"),
	"ENOEXEC: blanks after #!":            script("#!   \t \n"),
	"ENOEXEC: a line too long to be cut":  script("#!/" + strings.Repeat("n", 400) + "\n"),
	"ENOEXEC: half an ELF header":         script("\x7fELF\x02\x01\x01"),
	"ENOEXEC: another machine":            patched(func(b []byte) { binary.LittleEndian.PutUint16(b[18:], 243) }), // RISC-V
	"program: of no class":                patched(func(b []byte) { b[4] = 7 }),
	"ENOEXEC: an object file":             patched(func(b []byte) { binary.LittleEndian.PutUint16(b[16:], 1) }),
	"ENOEXEC: no segments":                patched(func(b []byte) { binary.LittleEndian.PutUint16(b[56:], 0) }),
	"ELIBBAD: a loader that is no ELF":    loader("/usr/bin/ldd"),
	"E2BIG: one argument":                 same(Call{Argv: []string{"x", strings.Repeat("l", longestString)}}),
	"E2BIG: one variable":                 same(Call{Env: []string{"A=" + strings.Repeat("l", longestString)}}),
	"E2BIG: all together":                 nearLimit(+4096),
	"E2BIG: more than six megabytes":      same(Call{Argv: append([]string{"x"}, many(70, 100<<10)...), Setup: orders("rlimit 3 18446744073709551615 18446744073709551615")}),
	"E2BIG: by a small stack":             same(Call{Argv: append([]string{"x"}, many(3, 100<<10)...), Setup: orders("rlimit 3 524288 524288")}),
	"ETXTBSY: open for writing":           busy,
	"EAGAIN: too many processes":          crowded,
}

func script(text string) Test {
	return made(func(s *stage) error {
		return writeProgram(s.path("x"), []byte(strings.ReplaceAll(text, "DIR", s.dir)), 0o755)
	}, Call{Path: "DIR/x", Argv: []string{"zero", "one"}, Env: []string{"A=1"}})
}

func patched(patch func([]byte)) Test {
	return made(func(s *stage) error {
		b, err := os.ReadFile(s.path("probe"))
		if err != nil {
			return err
		}
		patch(b)
		return writeProgram(s.path("x"), b, 0o755)
	}, Call{Path: "DIR/x"})
}

// loader is a program that wants a dynamic loader of another name; it fits over that of /bin/true or the test can't be made.
func loader(name string) Test {
	return func(t *testing.T, r Runner) {
		s := newStage(t, r)
		b, err := os.ReadFile("/bin/true")
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(b, []byte("/lib64/ld-linux-x86-64.so.2\x00"))
		if at < 0 {
			at = bytes.Index(b, []byte("/lib/ld-linux-aarch64.so.1\x00"))
		}
		if at < 0 {
			t.Skip("the loader of this machine has another name")
		}
		copy(b[at:], name+"\x00")
		if err := writeProgram(s.path("x"), b, 0o755); err != nil {
			t.Fatal(err)
		}
		s.same(Call{Path: "DIR/x"})
	}
}

// nested is a script whose interpreter is a script, and so on, with the probe at the end.
func nested(depth int) Test {
	return made(func(s *stage) error {
		to := s.path("probe")
		var errs []error
		for i := range depth {
			name := s.path("s" + strings.Repeat("i", i))
			errs = append(errs, writeProgram(name, []byte("#!"+to+" arg\n"), 0o755))
			to = name
		}
		return errors.Join(append(errs, os.Symlink(to, s.path("first")))...)
	}, Call{Path: "DIR/first", Argv: []string{"zero", "one"}})
}

func busy(t *testing.T, r Runner) {
	s := newStage(t, r)
	if err := s.copyProbe("x", 0o755, 0, 0); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(s.path("x"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.same(Call{Path: "DIR/x"})
}

// Scripts with an interpreter line, which run.

var scripts = map[string]Test{
	"script: interpreter alone":           script("#!DIR/probe\n"),
	"script: one argument":                script("#!DIR/probe arg\n"),
	"script: words that are one argument": script("#!DIR/probe several  words \t\n"),
	"script: blanks before":               script("#! \t DIR/probe arg\n"),
	"script: no newline at its end":       script("#!DIR/probe arg"),
	"script: a carriage return":           script("#!DIR/probe arg\r\n"),
	"script: a relative interpreter":      script("#!./probe\n"),
	"script: bytes":                       script("#!DIR/probe \xff\xfe\x01\n"),
	"script: an argument that is cut":     script("#!DIR/probe " + strings.Repeat("a", 400) + "\n"),
	"script: interpreters four deep":      nested(4),
	"script: that may not be read": made(func(s *stage) error {
		return errors.Join(writeProgram(s.path("x"), []byte("#!"+s.path("probe")+"\n"), 0o711), os.Chmod(s.path("x"), 0o711))
	}, Call{Path: "DIR/x", Setup: orders(user)}),
	"script: setuid, which does not count": made(func(s *stage) error {
		return errors.Join(writeProgram(s.path("x"), []byte("#!"+s.path("probe")+"\n"), 0o755), os.Chmod(s.path("x"), 0o755|os.ModeSetuid))
	}, Call{Path: "DIR/x", Setup: orders(user)}),
	"script: by env and PATH": script("#!/usr/bin/env -S DIR/probe a b\n"),
}

func writeText(path string) error { return writeProgram(path, []byte("exit 3\n"), 0o755) }

// crowded is a user who has more processes already than his limit allows.
func crowded(t *testing.T, r Runner) {
	s := newStage(t, r)
	const uid = 54321
	other := exec.Command("sleep", "600")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Pdeathsig: syscall.SIGKILL}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		other.Process.Kill()
		other.Wait()
	}()
	s.same(Call{Setup: orders("rlimit 6 0 0 groups 54321 gid 54321 54321 54321 uid 54321 54321 54321")})
}
