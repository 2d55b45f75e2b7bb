// Package recompiled_test follows docs/recompiled-make.md: it makes GNU make with libmexec by the commands of that page, and builds
// projects with it over test hosts. The sources come from Debian, once, and stay in tmp/.
package recompiled_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"mexec/test/hosts"
)

var versions = []string{"4.3", "4.4.1"}

const root = "../.."

// recipe are the commands of the page.
func recipe(t *testing.T) string {
	page, err := os.ReadFile(root + "/docs/recompiled-make.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(page, -1) {
		commands = append(commands, string(block[1]))
	}
	if len(commands) != 2 {
		t.Fatalf("%d commands in the page", len(commands))
	}
	// The configured sources stay; the make is linked each time with the library of now.
	return "set -e\n[ -e config.status ] || " + commands[0] + "rm -f make\n" + commands[1]
}

// installed is a directory with what `make install` would have installed of libmexec, for pkg-config.
func installed(t *testing.T) (pkgconfig string) {
	prefix := t.TempDir()
	for to, from := range map[string]string{"include/mexec.h": "libmexec/mexec.h", "lib/libmexec.a": "bin/libmexec.a", "lib/mexec.pc": "libmexec/mexec.pc.in"} {
		b, err := os.ReadFile(filepath.Join(root, from))
		if err != nil {
			t.Fatal(err)
		}
		b = bytes.ReplaceAll(b, []byte("@PREFIX@"), []byte(prefix))
		if err := errors.Join(os.MkdirAll(filepath.Join(prefix, filepath.Dir(to)), 0o755), os.WriteFile(filepath.Join(prefix, to), b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(prefix, "lib")
}

// pMake makes the make of a version and returns where it is.
func pMake(t *testing.T, version string) string {
	t.Helper()
	if _, err := exec.LookPath("pkg-config"); err != nil {
		t.Skipf("the page's commands need it: %v", err)
	}
	source, err := filepath.Abs(filepath.Join(root, "tmp/recompiled", "make-"+version))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "./sources.sh", version, source).CombinedOutput(); err != nil {
		t.Skipf("no sources of make %s: %v: %s", version, err, out)
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", recipe(t))
	cmd.Dir = source
	for _, e := range os.Environ() { // a make may be above us
		if !strings.HasPrefix(e, "MAKE") && !strings.HasPrefix(e, "MFLAGS") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "PKG_CONFIG_PATH="+installed(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v\n%s", version, err, out[max(0, len(out)-3000):])
	}
	b, err := os.ReadFile(filepath.Join(source, "make"))
	if err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(t.TempDir(), "p_make")
	if err := os.WriteFile(made, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return made
}

// each runs a test over three hosts for each version.
func each(t *testing.T, test func(t *testing.T, node1 *hosts.Host, pMake string)) {
	if os.Geteuid() != 0 {
		t.Skip("hosts with a network of their own need root")
	}
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			made := pMake(t, version)
			hs := hosts.Test(t, hosts.Config{N: 3, Slots: 2})
			if err := hs.WaitUp(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			test(t, hs.All[0], made)
		})
	}
}

func run(t *testing.T, cmd *exec.Cmd) (out, errs string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	late := time.AfterFunc(time.Minute, func() {
		if cmd.Process != nil {
			cmd.Process.Kill()
		}
	})
	defer late.Stop()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// Each level says by make's own functions where its make runs, and by its recipes where these do.
func TestABuildOfThreeLevelsRunsOnTheOtherNodesToItsEnd(t *testing.T) {
	each(t, func(t *testing.T, node1 *hosts.Host, pMake string) {
		dir := t.TempDir()
		for level, at := range []string{".", "sub", "sub/sub"} {
			nested := "\t$(MAKE) -C sub"
			if level == 2 {
				nested = ""
			}
			write(t, filepath.Join(dir, at, "Makefile"), fmt.Sprintf(
				"$(file >made-on,$(file </proc/sys/kernel/hostname))\nall: a b c d\n%s\na b c d:\n\tread node </proc/sys/kernel/hostname; sleep 0.1; echo $$node >$@\n", nested))
		}
		cmd := node1.Command(pMake, "-j4", "MAKE="+pMake)
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "NODES=2,3")
		if out, errs, status := run(t, cmd); status != 0 {
			t.Fatalf("status %d\n%s%s", status, out, errs)
		}
		for level, at := range []string{".", "sub", "sub/sub"} {
			on, _ := os.ReadFile(filepath.Join(dir, at, "made-on"))
			if home := string(on) == "node1\n"; home != (level == 0) || len(on) == 0 {
				t.Errorf("the make of level %d ran on %q", level, on)
			}
			for _, target := range "abcd" {
				if b, _ := os.ReadFile(filepath.Join(dir, at, string(target))); string(b) != "node2\n" && string(b) != "node3\n" {
					t.Errorf("%c of level %d was made on %q", target, level, b)
				}
			}
		}
	})
}

// The same make without a stub is the reference: it executes everything itself.
func TestStatusAndMessagesAreMakesOwn(t *testing.T) {
	each(t, func(t *testing.T, node1 *hosts.Host, pMake string) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "script"), "echo script $1\n")
		os.Chmod(filepath.Join(dir, "script"), 0o755)
		write(t, filepath.Join(dir, "Makefile"), `
X := $(shell echo from the function)
ok: ; @echo $(X); echo to stderr >&2
bad: ; @exit 3
killed: ; kill -KILL $$$$
missing: ; ./no-such-program x
nowhere: ; no-such-program x
directory: ; ./ x
script: ; ./script x
direct: ; echo direct
late: bad ; echo never
`)
		for _, args := range []string{
			"ok", "bad", "killed", "missing", "nowhere", "directory", "script", "direct",
			"-k bad late ok", "-j3 -k killed missing ok", "-i bad nowhere", "-n late", "-j2 -Otarget direct script",
		} {
			outcome := func(env string) string {
				cmd := node1.Command(pMake, strings.Fields(args)...)
				cmd.Dir = dir
				cmd.Env = append(cmd.Env, env, "NODES=2,3")
				out, errs, status := run(t, cmd)
				if strings.Contains(args, "-j") { // who is first is nobody's promise
					lines := strings.Split(out+errs, "\n")
					sort.Strings(lines)
					return fmt.Sprint(lines, status)
				}
				return fmt.Sprintf("%q %q %d", out, errs, status)
			}
			if ours, plain := outcome("NOTHING="), outcome("MEXEC_STUB=/no/such/stub"); ours != plain {
				t.Errorf("%s:\n  over the nodes %s\n  here           %s", args, ours, plain)
			}
		}
	})
}
