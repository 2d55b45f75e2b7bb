package drive

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAToolIsToldTheJobsInItsOwnWayWhereNobodyHas(t *testing.T) {
	for _, c := range []struct{ tool, args, env, want, wantEnv string }{
		{"ninja", "-C out all", "", "-j24 -C out all", ""},
		{"ninja", "-C out -j3", "", "-C out -j3", ""},
		{"make", "", "", "-j24", ""},
		{"make", "", "MAKEFLAGS=-j2", "", "MAKEFLAGS=-j2"},
		{"scons", "-c", "", "-j24 -c", ""},
		{"parallel", "gzip ::: a", "", "-j24 gzip ::: a", ""},
		{"parallel", "-P3 gzip ::: a", "", "-P3 gzip ::: a", ""},
		{"xargs", "-P8 gzip", "", "-P8 gzip", ""},
		{"cmake", "--build .", "", "--build .", "CMAKE_BUILD_PARALLEL_LEVEL=24"},
		{"ctest", "-V", "CTEST_PARALLEL_LEVEL=2", "-V", "CTEST_PARALLEL_LEVEL=2"},
		{"cargo", "build", "", "build", "CARGO_BUILD_JOBS=24"},
		{"go", "build ./...", "", "build ./...", "GOFLAGS=-p=24"},
		{"go", "build ./...", "GOFLAGS=-mod=mod", "build ./...", "GOFLAGS=-mod=mod -p=24"},
		{"go", "build -p 2 ./...", "", "build -p 2 ./...", ""},
		{"go", "test -pgo=off", "GOFLAGS=--p=3", "test -pgo=off", "GOFLAGS=--p=3"},
		{"build.sh", "all", "", "all", "CARGO_BUILD_JOBS=24 CMAKE_BUILD_PARALLEL_LEVEL=24 CTEST_PARALLEL_LEVEL=24 MAKEFLAGS=-j24"},
		{"build.sh", "all", "MAKEFLAGS=k", "all", "MAKEFLAGS=k CARGO_BUILD_JOBS=24 CMAKE_BUILD_PARALLEL_LEVEL=24 CTEST_PARALLEL_LEVEL=24"},
	} {
		cmd := exec.Command("/x/"+c.tool, strings.Fields(c.args)...)
		cmd.Env = strings.Fields(c.env)
		tellJobs(cmd, c.tool, func() int { return 24 })
		if got := strings.Join(cmd.Args[1:], " "); got != c.want {
			t.Errorf("%s %s: %s", c.tool, c.args, got)
		}
		if strings.Join(cmd.Env, " ") != c.wantEnv {
			t.Errorf("%s %s with %s: %v", c.tool, c.args, c.env, cmd.Env)
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
