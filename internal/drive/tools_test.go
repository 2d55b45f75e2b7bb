package drive

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mexec/internal/gauge"
)

// fake is a cluster of 24 slots, and jobservers that say what they are.
var fake = jobs{slots: func() int { return 24 }, serve: func(fifo bool, limit int) (string, error) {
	style := "pipe"
	if fifo {
		style = "fifo"
	}
	return fmt.Sprintf("%s of %d", style, limit), nil
}}

func TestAToolIsToldTheJobsInItsOwnWayWhereNobodyHas(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const old, young = "\x7fELF", "\x7fELF fifo:"
	put("old/ninja", old)
	put("old/make", old)
	put("young/ninja", young)
	put("young/make", young)
	for _, bin := range []string{"old", "young"} {
		for _, tool := range []string{"cmake", "ctest", "scons", "parallel", "xargs", "cargo", "go", "meson"} {
			put(bin+"/"+tool, old)
		}
		put(bin+"/build.sh", "#! /bin/sh\n")
		put(bin+"/build.py", "#! /usr/bin/env python3\n")
		put(bin+"-makefiles/CMakeCache.txt", "CMAKE_GENERATOR:INTERNAL=Unix Makefiles\nCMAKE_MAKE_PROGRAM:FILEPATH="+filepath.Join(dir, bin, "make")+"\n")
		put(bin+"-ninja/CMakeCache.txt", "CMAKE_GENERATOR:INTERNAL=Ninja\nCMAKE_MAKE_PROGRAM:FILEPATH="+filepath.Join(dir, bin, "ninja")+"\n")
	}
	const all = "CARGO_BUILD_JOBS=24|CMAKE_BUILD_PARALLEL_LEVEL=24|CTEST_PARALLEL_LEVEL=24|MESON_TESTTHREADS=24"
	for _, c := range []struct{ tool, args, env, want, wantEnv string }{
		{"old/ninja", "-C out all", "", "-j24 -C out all", ""},
		{"old/ninja", "-C out -j3", "", "-C out -j3", ""},
		{"young/ninja", "-C out all", "", "-C out all", "MAKEFLAGS= -j24 --jobserver-auth=fifo of 0"},
		{"young/ninja", "-C out -j3", "", "-C out -j3", ""},
		{"young/ninja", "", "MAKEFLAGS= --jobserver-auth=fifo:/x", "", "MAKEFLAGS= --jobserver-auth=fifo:/x"},
		{"old/make", "", "", "", "MAKEFLAGS= -j24 --jobserver-auth=pipe of 0"},
		{"old/make", "-j3", "", "", "MAKEFLAGS= -j3 --jobserver-auth=pipe of 3"},
		{"old/scons", "-c", "", "-j24 -c", ""},
		{"old/parallel", "gzip ::: a", "", "-j24 gzip ::: a", ""},
		{"old/parallel", "-P3 gzip ::: a", "", "-P3 gzip ::: a", ""},
		{"old/xargs", "-P8 gzip", "", "-P8 gzip", ""},
		{"old/cmake", "-B x", "", "-B x", "CMAKE_BUILD_PARALLEL_LEVEL=24"},
		{"old/cmake", "--build DIR/old-makefiles", "", "--build DIR/old-makefiles", "MAKEFLAGS= -j24 --jobserver-auth=pipe of 0"},
		{"old/cmake", "--build DIR/young-makefiles", "", "--build DIR/young-makefiles", "MAKEFLAGS= -j24 --jobserver-auth=fifo of 0"},
		{"old/cmake", "--build DIR/old-makefiles -j3", "", "--build DIR/old-makefiles -j3", "CMAKE_BUILD_PARALLEL_LEVEL=24"},
		{"old/cmake", "--build DIR/old-ninja", "", "--build DIR/old-ninja", "CMAKE_BUILD_PARALLEL_LEVEL=24"},
		{"old/cmake", "--build DIR/young-ninja", "", "--build DIR/young-ninja", "MAKEFLAGS= -j24 --jobserver-auth=fifo of 0"},
		{"old/ctest", "-V", "CTEST_PARALLEL_LEVEL=2", "-V", "CTEST_PARALLEL_LEVEL=2"},
		{"old/meson", "compile -C out", "", "compile -j24 -C out", "MESON_TESTTHREADS=24"},
		{"old/meson", "compile -C out -j 3", "MESON_TESTTHREADS=1", "compile -C out -j 3", "MESON_TESTTHREADS=1"},
		{"old/meson", "test -C out", "", "test -C out", "MESON_TESTTHREADS=24"},
		{"old/cargo", "build", "", "build", "MAKEFLAGS= -j24 --jobserver-auth=pipe of 0|CARGO_BUILD_JOBS=24"},
		{"old/cargo", "build -j3", "", "build -j3", "CARGO_BUILD_JOBS=24"},
		{"old/go", "build ./...", "", "build ./...", "GOFLAGS=-p=24"},
		{"old/go", "build ./...", "GOFLAGS=-mod=mod", "build ./...", "GOFLAGS=-mod=mod -p=24"},
		{"old/go", "build -p 2 ./...", "", "build -p 2 ./...", ""},
		{"old/go", "test -pgo=off", "GOFLAGS=--p=3", "test -pgo=off", "GOFLAGS=--p=3"},
		{"old/build.sh", "all", "", "all", "MAKEFLAGS= -j24 --jobserver-auth=pipe of 0|" + all},
		{"old/build.sh", "all", "MAKEFLAGS=kj4", "all", "MAKEFLAGS=kj4 -j4 --jobserver-auth=pipe of 4|" + all},
		{"old/build.sh", "all", "MAKEFLAGS=-j1", "all", "MAKEFLAGS=-j1|" + all},
		{"old/build.sh", "all", "MAKEFLAGS=-j2 --jobserver-auth=3,4", "all", "MAKEFLAGS=-j2 --jobserver-auth=3,4|" + all},
		{"old/build.py", "all", "", "all", all + "|MAKEFLAGS=-j24"},
		{"young/build.py", "all", "", "all", "MAKEFLAGS= -j24 --jobserver-auth=fifo of 0|CARGO_BUILD_JOBS=24|CTEST_PARALLEL_LEVEL=24|MESON_TESTTHREADS=24"},
	} {
		bin, tool := filepath.Split(c.tool)
		t.Setenv("PATH", filepath.Join(dir, bin))
		cmd := exec.Command(filepath.Join(dir, c.tool), strings.Fields(strings.ReplaceAll(c.args, "DIR", dir))...)
		cmd.Env = []string{}
		if c.env != "" {
			cmd.Env = []string{c.env}
		}
		tellJobs(cmd, tool, fake)
		if got := strings.Join(cmd.Args[1:], " "); got != strings.ReplaceAll(c.want, "DIR", dir) {
			t.Errorf("%s %s: %s", c.tool, c.args, got)
		}
		if got := strings.Join(cmd.Env, "|"); got != c.wantEnv {
			t.Errorf("%s %s with %s: %s", c.tool, c.args, c.env, got)
		}
	}
}

func TestWhatCannotBeReachedIsKnown(t *testing.T) {
	dir := t.TempDir()
	stub, err := filepath.Abs("../../bin/mexec")
	if err == nil {
		_, err = os.Stat(stub)
	}
	if err != nil {
		t.Skipf("make has not built a static program: %v", err)
	}
	script := func(name, interpreter string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte("#! "+interpreter+" -x\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return name
	}
	dynamic := filepath.Join(dir, "dynamic")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module x\n\ngo 1.26\n")
	write("main.go", "package main\n\nfunc main() {}\n")
	build := exec.Command("go", "build", "-ldflags=-linkmode=external -s", "-o", dynamic, ".")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for path, want := range map[string]string{
		dynamic: isGo, "/bin/sh": "", script("ordinary", "/bin/sh"): "", "/nonexistent": "", dir: "",
		stub: "is statically linked", script("static", stub): "is statically linked",
		script("deep", filepath.Join(dir, "static")): "is statically linked",
		script("gone", "/nonexistent"):               "", script("none", ""): "",
	} {
		if got := escape(path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// The tool of a build below another, or one that is explained, was told of one slot.
func TestWithoutADaemonThereAreTheSlotsOfThisNode(t *testing.T) {
	if b := (&build{socket: filepath.Join(t.TempDir(), "none")}); b.slots() != gauge.Slots() {
		t.Errorf("%d, not %d", b.slots(), gauge.Slots())
	}
}

// It was an error of ours, before the tool had a say.
func TestADirectoryThatWasRemovedHasAPolicy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv("PWD", "")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if rules, err := loadPolicy(); err != nil || len(rules) == 0 {
		t.Errorf("%v, %v", rules, err)
	}
}
