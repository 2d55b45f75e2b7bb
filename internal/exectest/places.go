package exectest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Where a program finds itself.

var places = map[string]Test{
	"directory: the root":                 same(Call{Setup: orders("chdir /")}),
	"directory: one below":                in("below"),
	"directory: a name of bytes":          in("a \xff\n b"),
	"directory: the longest name":         in(strings.Repeat("n", 255)),
	"directory: deep":                     in(strings.Repeat("deep/", 200) + "er"),
	"directory: by a symbolic link":       linked(nil),
	"directory: PWD by a symbolic link":   linked([]string{"PWD=DIR/link"}),
	"directory: PWD that is wrong":        in("below", "PWD=/nowhere"),
	"directory: deleted":                  same(Call{Setup: orders("mkdir DIR/gone chdir DIR/gone rmdir DIR/gone")}),
	"directory: that may not be read":     made(func(s *stage) error { return mkdir(s.path("closed"), 0o711) }, Call{Setup: orders("chdir DIR/closed " + user)}),
	"directory: that may not be searched": made(func(s *stage) error { return mkdir(s.path("closed"), 0o700) }, Call{Setup: orders("chdir DIR/closed " + user)}),
	"directory: behind one that is closed": made(func(s *stage) error {
		return errors.Join(mkdir(s.path("closed/in"), 0o777), os.Chmod(s.path("closed"), 0o700))
	}, Call{Setup: orders("chdir DIR/closed/in " + user)}),
	"directory: sticky and of another": same(Call{Setup: orders("chdir /tmp " + user)}),
	"directory: that only home has":    same(Call{Setup: orders("chdir /run/mexec")}),
	"directory: of the kernel":         same(Call{Setup: orders("chdir /proc/sys")}),
	"directory: moved away":            moved,
	"program: by a relative path":      same(Call{Path: "./probe"}),
	"program: by a path of detours":    same(Call{Path: "DIR/../././../DIR/./probe"}),
	"program: by a symbolic link":      made(func(s *stage) error { return os.Symlink("probe", s.path("link")) }, Call{Path: "DIR/link"}),
	"program: by two symbolic links": made(func(s *stage) error {
		return errors.Join(os.Symlink("probe", s.path("b")), os.Symlink("b", s.path("a")))
	}, Call{Path: "a"}),
	"program: by the last of many links": chain(39),
	"program: a name of bytes":           made(func(s *stage) error { return os.Link(s.path("probe"), s.path("p \xff\n")) }, Call{Path: "DIR/p \xff\n"}),
	"program: a name longer than comm":   made(func(s *stage) error { return os.Link(s.path("probe"), s.path("a-program-of-a-long-name")) }, Call{Path: "DIR/a-program-of-a-long-name"}),
	"program: that may not be read":      made(unreadable, Call{Path: "DIR/unreadable", Setup: orders(user)}),
	"program: through /proc/self/cwd":    same(Call{Path: "/proc/self/cwd/probe"}),
	"root: another":                      jailed,
	"mounts: a directory that is hidden": made(func(s *stage) error {
		return errors.Join(mkdir(s.path("below"), 0o755), os.WriteFile(s.path("below/file"), nil, 0o644))
	},
		Call{Setup: orders("hide DIR/below"), Env: []string{"PROBE=sees", "SEES=DIR/below/file"}}),
}

// user is who the tests are that are not root.
const user = "groups 1000 gid 1000 1000 1000 uid 1000 1000 1000"

func made(make func(*stage) error, c Call) Test {
	return func(t *testing.T, r Runner) {
		s := newStage(t, r)
		if err := make(s); err != nil {
			t.Fatal(err)
		}
		s.same(c)
	}
}

// jailed is a caller whose root is the test's directory. The stub is in there too, and no daemon.
func jailed(t *testing.T, r Runner) {
	s := newStage(t, r)
	if r.Stub != nil {
		b, err := os.ReadFile(r.Stub[0])
		to := s.path(r.Stub[0])
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), writeProgram(to, b, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	// There is no /proc in there, so that the transcript comes by stdout.
	s.same(Call{Setup: orders("chroot DIR chdir /"), Path: "/probe"})
}

// mkdir ignores the umask.
func mkdir(path string, mode os.FileMode) error {
	return errors.Join(os.MkdirAll(path, 0o777), os.Chmod(path, mode))
}

func in(dir string, env ...string) Test {
	return func(t *testing.T, r Runner) {
		s := newStage(t, r)
		if err := os.MkdirAll(s.path(dir), 0o777); err != nil {
			t.Fatal(err)
		}
		s.same(Call{Setup: []string{"chdir", "DIR/" + dir}, Env: env})
	}
}

func linked(env []string) Test {
	return made(func(s *stage) error {
		return errors.Join(os.Mkdir(s.path("below"), 0o777), os.Symlink("below", s.path("link")))
	}, Call{Setup: orders("chdir DIR/link"), Env: env})
}

// moved is a directory that has another name by the time of the call.
func moved(t *testing.T, r Runner) {
	s := newStage(t, r)
	for _, run := range []Runner{s.kernel(), r} {
		if err := errors.Join(os.RemoveAll(s.path("b")), os.Mkdir(s.path("a"), 0o777), os.Rename(s.path("a"), s.path("b"))); err != nil {
			t.Fatal(err)
		}
		if o := s.run(Call{Setup: orders("chdir DIR/b")}, run); o["cwd"] != s.path("b") {
			t.Errorf("%s: in %q", run.Name, o["cwd"])
		}
	}
	s.same(Call{Setup: orders("chdir DIR/b")})
}

func chain(links int) Test {
	return made(func(s *stage) error {
		var errs []error
		to := "probe"
		for i := range links {
			name := "l" + strings.Repeat("i", i)
			errs = append(errs, os.Symlink(to, s.path(name)))
			to = name
		}
		return errors.Join(append(errs, os.Symlink(to, s.path("first")))...)
	}, Call{Path: "DIR/first"})
}

func unreadable(s *stage) error {
	b, err := os.ReadFile(s.path("probe"))
	return errors.Join(err, writeProgram(s.path("unreadable"), b, 0o755), os.Chmod(s.path("unreadable"), 0o711))
}

// copyProbe is a probe with a mode of its own.
func (s *stage) copyProbe(name string, mode os.FileMode, uid, gid int) error {
	b, err := os.ReadFile(s.path("probe"))
	path := filepath.Join(s.dir, name)
	return errors.Join(err, writeProgram(path, b, 0o755), os.Chown(path, uid, gid), os.Chmod(path, mode))
}

// writeProgram lets nobody fork meanwhile: a child that has the file open for writing until its own execve makes it ETXTBSY
// (golang/go #22315).
func writeProgram(path string, content []byte, mode os.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, content, mode)
}
