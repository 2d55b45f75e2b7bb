package system_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mexec/test/tools"
)

// below is a project whose recipes are in sub, for a static make that is called make there.
func below(t *testing.T, makefile string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, d := range []string{"bin", "sub"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(tools.Path(t, "make-4.4.1-static"), filepath.Join(dir, "bin", "make")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "Makefile"), makefile)
	write(t, filepath.Join(dir, "sub", "Makefile"),
		"$(file >made-on,$(file </proc/sys/kernel/hostname))\nall: a b c d e f g h i j k l\na b c d e f g h i j k l:\n\t"+strings.ReplaceAll(noted, "log", "../log")+"\n")
	return dir
}

// A make that is dynamic calls one that is static, in each of the ways that it may. Each stays, and its recipes are everywhere.
func TestWhatAStaticDriverBelowADynamicToolStartsSpreads(t *testing.T) {
	node1, _, _ := three(t)
	for name, c := range map[string]struct {
		makefile string
		tool     []string
	}{
		"by make itself":   {makefile: "all:\n\t+bin/make -s -C sub\n", tool: []string{"mpmake", "-s", "-j12"}},
		"by $(MAKE)":       {makefile: "all:\n\t$(MAKE) -s -C sub\n", tool: []string{"mpmake", "-s", "-j12", "MAKE=" + "bin/make"}},
		"by a shell":       {makefile: "all:\n\t+cd sub && ../bin/make -s; echo done >../done\n", tool: []string{"mpmake", "-s", "-j12"}},
		"in its place":     {makefile: "all:\n\t+cd sub && exec ../bin/make -s\n", tool: []string{"mpmake", "-s", "-j12"}},
		"by a static sh":   {makefile: "SHELL = " + staticShell(t) + "\nall:\n\t+cd sub && ../bin/make -s; :\n", tool: []string{"mpmake", "-s", "-j12"}},
		"by a script":      {tool: []string{"mprun", "sh", "-c", "bin/make -s -j12 -C sub; echo done >done"}},
		"by xargs of mine": {tool: []string{"mprun", "sh", "-c", "echo -C sub | xargs -P1 bin/make -s -j12; :"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := below(t, c.makefile)
			r := mprunLike(t, node1.Command(c.tool[0], c.tool[1:]...), dir)
			everywhere(t, dir, 12, r)
			if b, err := os.ReadFile(filepath.Join(dir, "sub", "made-on")); string(b) != "node1\n" {
				t.Errorf("the driver ran on %q, %v", b, err)
			}
			if strings.Contains(r.errs, "stayed on this node") || r.out != "" {
				t.Errorf("said %q, %q", r.out, r.errs)
			}
		})
	}
}

// staticShell is busybox by the name of a shell.
func staticShell(t *testing.T) string {
	t.Helper()
	sh := filepath.Join(t.TempDir(), "sh")
	if err := os.Symlink(busybox(t), sh); err != nil {
		t.Fatal(err)
	}
	return sh
}

func mprunLike(t *testing.T, cmd *exec.Cmd, dir string) result {
	t.Helper()
	cmd.Dir = dir
	return run(t, cmd)
}

// A driver that a project's file names, written in Go, with the C library or without.
func TestWhatAGoDriverBelowADynamicToolStartsSpreads(t *testing.T) {
	node1, _, _ := three(t)
	for _, cgo := range []string{"0", "1"} {
		dir := t.TempDir()
		job(t, dir)
		write(t, filepath.Join(dir, "bake.go"), `package main

import (
	"fmt"
	_ "os/user"
	"os"
	"os/exec"
	"sync"
)

func main() {
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			if err := exec.Command("./job", fmt.Sprint(i)).Run(); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		})
	}
	all.Wait()
	os.Exit(7)
}
`)
		cmd := exec.Command("go", "build", "-o", "bake", "bake.go")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED="+cgo, "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		write(t, filepath.Join(dir, ".mexec.toml"), "drive = [\"bake\"]\n")
		everywhere(t, dir, 12, mprun(t, node1, dir, "sh", "-c", "./bake; [ $? = 7 ]"))
	}
}

// Where its children can't be sent, that is said when the build is over.
func TestADriverWhoseChildrenStayedIsNamedInTheSummary(t *testing.T) {
	node1, _, _ := three(t)
	write := func(dir, text string) { write(t, filepath.Join(dir, "Makefile"), text) }
	const line = "%s: %s %s: what it started stayed on this node\n"

	dir := below(t, "")
	write(dir, "all:\n\t+bin/make -s -C sub\n\t+bin/make -s -C sub\n")
	r := mprunLike(t, node1.Command(untraceable(t), "mpmake", "-s", "-j12"), dir)
	began, _ := overlap(t, dir)
	if want := fmt.Sprintf(line, "mpmake", "bin/make", "is statically linked, and tracing is not possible: operation not permitted"); r.code != 0 || !strings.HasSuffix(r.errs, want) ||
		strings.Count(r.errs, want) != 1 || began["node1"] != 12 {
		t.Errorf("where ptrace is forbidden: %+v; ran on %v", r, began)
	}

	dir = below(t, "")
	r = mprunLike(t, node1.Command("mprun", "sh", "-c", "exec bin/make -s -j12 -C sub"), dir)
	if want := fmt.Sprintf(line, "mprun", "bin/make", "is statically linked and took the place of the tool that was named (name it itself)"); r.code != 0 || !strings.HasSuffix(r.errs, want) {
		t.Errorf("in the tool's place: %+v", r)
	}

	dir = below(t, "")
	theirs := filepath.Join(dir, "theirs")
	if err := os.Mkdir(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "bin", "make"))
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(theirs, "make")
	if err := os.WriteFile(other, b, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Chown(other, 65534, 65534), os.Chmod(other, 0o4755|os.ModeSetuid), os.Chmod(filepath.Join(dir, "sub"), 0o777), os.Chmod(dir, 0o777)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	write(dir, "all:\n\t+theirs/make -s -C sub\n")
	r = mprunLike(t, node1.Command("mpmake", "-s", "-j12"), dir)
	if want := fmt.Sprintf(line, "mpmake", "theirs/make", "is set-user-ID"); r.code != 0 || !strings.HasSuffix(r.errs, want) {
		t.Errorf("set-user-ID: %+v", r)
	}
	if r = mprunLike(t, node1.Command("mpmake", "-s", "--quiet"), dir); r.errs != "" {
		t.Errorf("quietly: %+v", r)
	}
}

// What a driver that is traced gives back is what it always gives.
func TestAStaticDriverBelowEndsAsEver(t *testing.T) {
	node1, _, _ := three(t)
	dir := below(t, "all: a b\na:\n\t-+bin/make -s -f fails.mk x\nb:\n\t-+bin/make -s -f fails.mk y\n")
	write(t, filepath.Join(dir, "fails.mk"), "x:\n\texit 3\ny:\n\tkill -TERM $$PPID; exec sleep 5\n")
	want := mprunLike(t, node1.Command("make", "-s"), dir)
	got := mprunLike(t, node1.Command("mpmake", "-s", "-j1"), dir)
	said, _, _ := strings.Cut(got.errs, "mpmake: ")
	if got.code != want.code || got.out != want.out || said != want.errs {
		t.Errorf("%+v, not %+v", got, want)
	}
}
