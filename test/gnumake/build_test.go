package gnumake_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A way is how a make's commands come to run where they do.
type way struct {
	name      string
	configure string
	variables []string                  // of the make that builds it
	settings  func(bin string) []string // variables of the make under test
}

var (
	plain   = way{name: "plain", settings: func(string) []string { return nil }}
	preload = way{name: "preload", settings: func(bin string) []string {
		return []string{"NODES=2,3", "LD_PRELOAD=" + bin + "/libmexec-preload.so", "MEXEC_DRIVER=" + build + ":" + bin + "/mexec:/nonexistent"}
	}}
	// By the commands of docs/recompiled-make.md.
	library = way{
		name:      "libmexec",
		configure: "--disable-posix-spawn",
		variables: []string{"CFLAGS=-O2 -Dexecve=mexecve -Dexecvp=mexecxvp", "LDFLAGS=-Wl,-z,now", "LIBS=" + abs("../../bin/libmexec.a")},
		settings:  func(bin string) []string { return []string{"NODES=2,3", "MEXEC_STUB=" + bin + "/mexec"} },
	}
)

func abs(path string) string {
	p, err := filepath.Abs(path)
	if err != nil {
		panic(err) // there is no working directory
	}
	return p
}

// sources fetches a version's sources, once, and says where they are.
func sources(t *testing.T, version string) string {
	t.Helper()
	into := abs("../../tmp/recompiled/make-" + version)
	if err := os.MkdirAll(filepath.Dir(into), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, "../recompiled/sources.sh", version, into).CombinedOutput(); err != nil {
		t.Skipf("no sources of make %s: %v: %s", version, err, out)
	}
	return into
}

// built is a tree with the make of a version and a way. What was configured once is kept; the make is linked with the library of now.
func built(t *testing.T, version string, w way) string {
	t.Helper()
	tree := abs(filepath.Join("../../tmp/gnumake", version+"-"+w.name))
	if _, err := os.Stat(filepath.Join(tree, "configured")); err != nil {
		if err := errors.Join(os.RemoveAll(tree), os.MkdirAll(filepath.Dir(tree), 0o755)); err != nil {
			t.Fatal(err)
		}
		script := `cp -a "$1" "$2" && cd "$2" && ./configure -q $3 && find lib src -name '*.[oa]' -delete && touch configured`
		if out, err := command(t, "sh", "-c", script, "sh", sources(t, version), tree, w.configure).CombinedOutput(); err != nil {
			t.Fatalf("configure make %s: %v: %s", version, err, out[max(0, len(out)-2000):])
		}
	}
	cmd := command(t, "sh", append([]string{"-c", `cd "$1" && shift && rm -f make && exec make -s "$@"`, "sh", tree}, w.variables...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build make %s: %v: %s", version, err, out[max(0, len(out)-2000):])
	}
	return tree
}

// user runs the suite: to root no file is unreadable, and a job of root could kill its node's daemon, which is its parent there.
const user = "65534"

// open is a directory that the user can pass through.
func open(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// reachable are the stub and the preload where the user can execute them, wherever this module lies.
func reachable(t *testing.T, bin string) string {
	t.Helper()
	to := open(t)
	out, err := command(t, "sh", "-c", `cp "$1/mexec" "$1/libmexec-preload.so" "$2" && chmod -R a+rX "$2"`, "sh", bin, to).CombinedOutput()
	if err != nil {
		t.Fatalf("copy the stub: %v: %s", err, out)
	}
	return to
}

// underTest copies a tree to where the suite may write, with a make that goes its way.
func underTest(t *testing.T, tree string, settings []string) string {
	t.Helper()
	to := filepath.Join(open(t), "make")
	quoted := ""
	for _, s := range settings {
		quoted += fmt.Sprintf("%q,", s)
	}
	script := `cp -a "$1" "$2" && cd "$2" && rm -rf tests/work && mkdir real && mv make real &&
		gcc -O2 -o make -DSETTINGS="$3" -DREAL="\"$2/real/make\"" "$4" && chown -R $5:$5 .`
	if out, err := command(t, "sh", "-c", script, "sh", tree, to, quoted, abs("testdata/wrapper.c"), user).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v: %s", tree, err, out)
	}
	return to
}

// command is one that ends in time and knows of no make that is above us.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "MAKE") && !strings.HasPrefix(e, "MFLAGS") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	return cmd
}
