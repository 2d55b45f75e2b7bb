package system_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mexec/test/hosts"
	"mexec/test/tools"
)

// busybox is a static shell.
func busybox(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Skipf("no static shell (busybox-static): %v", err)
	}
	return path
}

// staticMake is a command on a host where the only make is one that the shim can't be loaded into.
func staticMake(t *testing.T, h *hosts.Host, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err == nil {
		if err := os.Symlink(tools.Path(t, "make-4.4.1-static"), filepath.Join(bin, "make")); err != nil {
			t.Fatal(err)
		}
	}
	cmd := h.Command("env", append([]string{"PATH=" + bin + ":" + h.Bin() + ":" + os.Getenv("PATH"), name}, args...)...)
	cmd.Dir = dir
	return cmd
}

func TestWhatAStaticShellStartsSpreads(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	job(t, dir)
	write(t, filepath.Join(dir, "all.sh"), "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do ./job $i & done; (./job 13 & ./job 14; wait) & wait\n")
	everywhere(t, dir, 14, mprun(t, node1, dir, busybox(t), "sh", "all.sh"))
}

// A Go tool is static, has threads, and its children share its memory until they execute something.
func TestWhatGoBuildStartsSpreads(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module x\n\ngo 1.26\n")
	imports, calls := "", ""
	for i := range 12 {
		p := fmt.Sprint("p", i)
		if err := os.Mkdir(filepath.Join(dir, p), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, p, "p.go"), fmt.Sprintf("package %s\n\nfunc F() int { return %d }\n", p, i))
		imports += fmt.Sprintf("import %q\n", "x/"+p)
		calls += " + " + p + ".F()"
	}
	write(t, filepath.Join(dir, "main.go"), "package main\n\n"+imports+"\nfunc main() { println(0"+calls+") }\n")
	build := func(name string, args ...string) result {
		cmd := node1.Command(args[0], append(args[1:], "build", "-o", name, ".")...)
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "GOCACHE="+filepath.Join(dir, "cache-"+name), "GOTMPDIR="+dir, "GOFLAGS=", "GOPROXY=off", "NODES=2-3")
		return run(t, cmd)
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip(err)
	}
	// What they have in common is built once.
	write(t, filepath.Join(dir, "warm.go"), "package main\n\nfunc main() { println() }\n")
	warm := node1.Command(goTool, "build", "-o", "warm", "warm.go")
	warm.Dir = dir
	warm.Env = append(warm.Env, "GOCACHE="+filepath.Join(dir, "cache-plain"), "GOTMPDIR="+dir, "GOFLAGS=", "GOPROXY=off")
	if r := run(t, warm); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	os.Remove(filepath.Join(dir, "warm.go"))
	if err := os.CopyFS(filepath.Join(dir, "cache-spread"), os.DirFS(filepath.Join(dir, "cache-plain"))); err != nil {
		t.Fatal(err)
	}
	if r := build("plain", goTool); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	r := build("spread", "mprun", goTool)
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if !strings.HasPrefix(r.errs, "mprun: ") || !strings.Contains(r.errs, ": node2 ") || strings.Contains(r.errs, "node1") {
		t.Errorf("said %q", r.errs)
	}
	plain, err1 := os.ReadFile(filepath.Join(dir, "plain"))
	spread, err2 := os.ReadFile(filepath.Join(dir, "spread"))
	if err1 != nil || err2 != nil || !bytes.Equal(plain, spread) {
		t.Errorf("the results differ: %v, %v", err1, err2)
	}
}

func TestAStaticMakeSpreadsAsAnyMake(t *testing.T) {
	node1, _, _ := three(t)
	for _, style := range []string{"fifo", "pipe"} {
		dir := project(t, 12, "all: sub", "sub:\n\t$(MAKE) -C $@", ".PHONY: sub", "$(shell cat /proc/sys/kernel/hostname >shell-on)")
		os.Mkdir(filepath.Join(dir, "sub"), 0o755)
		write(t, filepath.Join(dir, "sub", "Makefile"),
			"$(file >made-on,$(file </proc/sys/kernel/hostname))\nall: a b c d e f g h\na b c d e f g h:\n\t"+strings.ReplaceAll(noted, "log", "../log")+"\n")
		r := run(t, staticMake(t, node1, dir, "mpmake", "-s", "-j12", "--jobserver-style="+style))
		if r.code != 0 || r.out != "" {
			t.Fatalf("%s: %+v", style, r)
		}
		began, _ := overlap(t, dir)
		if began["node1"]+began["node2"]+began["node3"] != 20 || len(began) != 3 || !strings.Contains(r.errs, "mpmake: 20 commands in ") {
			t.Errorf("%s: ran on %v; said %q", style, began, r.errs)
		}
		for _, name := range []string{"shell-on", "sub/made-on"} {
			if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != "node1\n" {
				t.Errorf("%s: %s: %q, %v", style, name, b, err)
			}
		}
	}
}

// GNU make says it in its own way, by execve's errno.
func TestAStaticMakeSaysWhatItAlwaysSays(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Makefile"), "all: a b c\na:\n\tnosuchprogram x\nb:\n\t./Makefile\nc:\n\texit 3\n")
	want := run(t, staticMake(t, node1, dir, "make", "-k"))
	got := run(t, staticMake(t, node1, dir, "mpmake", "-k", "-j1"))
	said, _, _ := strings.Cut(got.errs, "mpmake: ")
	if got.code != want.code || got.out != want.out || said != want.errs {
		t.Errorf("%+v, not %+v", got, want)
	}
}

func TestCtrlCEndsAStaticToolAndItsTrees(t *testing.T) {
	node1, node2, _ := three(t)
	dir := t.TempDir()
	up := filepath.Join(dir, "up")
	write(t, filepath.Join(dir, "hardy.sh"), hardy)
	cmd := node1.Command("mprun", busybox(t), "sh", "-c", "/bin/sh hardy.sh "+up+"; echo on")
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "NODES=node2")
	var keyboard *os.File
	p := plant(t, cmd, node2, up, &keyboard)
	start := time.Now()
	if _, err := keyboard.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	p.goneBy(start.Add(promised))
	p.end()
	if s := ended(cmd.ProcessState); s != syscall.SIGINT {
		t.Errorf("mprun ended with %v; a shell dies of SIGINT", cmd.ProcessState)
	}
}

func TestAStaticToolIsStoppedAndContinued(t *testing.T) {
	node1, _, _ := three(t)
	p := shell(t, node1)
	p.types("mprun " + busybox(t) + " sh -c 'echo rea''dy; read x; echo \"<$x>\"; /usr/bin/env NODES=2 /bin/cat; echo ov''er'\n")
	p.sees("ready\r\n")
	p.types("\x1a")
	p.sees("Stopped", "$ ")
	p.types("echo mi''ne\n")
	p.sees("mine\r\n", "$ ")
	p.types("fg\n")
	p.sees("fg\r\n")
	p.given()
	p.types("one\n")
	p.sees("<one>\r\n")
	p.types("two\n")
	p.sees("two\r\n", "two\r\n")
	p.types("\x1a")
	p.sees("Stopped", "$ ")
	p.types("fg\n")
	p.sees("fg\r\n")
	p.given()
	p.types("three\n")
	p.sees("three\r\n", "three\r\n")
	p.types("\x04")
	p.sees("over\r\n", "$ ")
}

// Whoever kills mprun ends the tracing, not the build.
func TestAStaticToolOutlivesItsTracer(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	out, in := filepath.Join(dir, "out"), filepath.Join(dir, "in")
	if err := syscall.Mkfifo(in, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := node1.Command("mprun", busybox(t), "sh", "-c", "echo $PPID >out; read x <in; /bin/sh -c 'echo on >out; :'")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := func() string {
		b, _ := os.ReadFile(out)
		return strings.TrimSpace(string(b))
	}
	eventually(t, "the tool is up", func() bool { return said() != "" })
	tracer, err := strconv.Atoi(said())
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(tracer, syscall.SIGKILL)
	cmd.Wait()
	write(t, in, "go\n")
	eventually(t, "the tool goes on", func() bool { return said() == "on" })
}

// untraceable is a program that executes another where ptrace is forbidden, as it is in some containers.
func untraceable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source, forbid := filepath.Join(dir, "forbid.c"), filepath.Join(dir, "forbid")
	write(t, source, `#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = {4, f};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) || execvp(argv[1], argv + 1);
}
`)
	if out, err := exec.Command("gcc", "-o", forbid, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return forbid
}

func TestWhereNothingMayBeTracedTheToolRunsAndItIsSaid(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	cmd := node1.Command(untraceable(t), "mprun", busybox(t), "sh", "-c", "/bin/sh -c 'exit 7'; exit $?")
	cmd.Dir = dir
	r := run(t, cmd)
	says := busybox(t) + " is statically linked, and tracing is not possible: "
	if r.code != 7 || !strings.Contains(r.errs, says) || !strings.Contains(r.errs, "operation not permitted: what it starts stays on this node\n") || strings.Count(r.errs, "\n") != 1 {
		t.Errorf("%+v", r)
	}
}

func TestAStaticMakeThatNobodyMayTraceGetsAShellThatHandsLinesOn(t *testing.T) {
	node1, _, _ := three(t)
	dir := project(t, 12, "all: sub own", "sub:\n\t$(MAKE) -s -C $@", ".PHONY: sub own", "$(shell cat /proc/sys/kernel/hostname >shell-on)",
		"own: SHELL = /bin/bash", "own:\n\t@cat /proc/sys/kernel/hostname >own-on")
	os.Mkdir(filepath.Join(dir, "sub"), 0o755)
	write(t, filepath.Join(dir, "sub", "Makefile"),
		"$(file >made-on,$(file </proc/sys/kernel/hostname))\nall: a b c d e f g h\na b c d e f g h:\n\t"+strings.ReplaceAll(noted, "log", "../log")+"\n")
	cmd := staticMake(t, node1, dir, untraceable(t), "mpmake", "-s", "-j12")
	cmd.Env = append(cmd.Env, "NODES=2-3")
	r := run(t, cmd)
	began, _ := overlap(t, dir)
	if r.code != 0 || began["node2"]+began["node3"] != 20 || !strings.Contains(r.errs, "operation not permitted: its recipes travel by a SHELL of ours\n") {
		t.Errorf("%+v; ran on %v", r, began)
	}
	for _, name := range []string{"shell-on", "sub/made-on", "own-on"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != "node1\n" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}
