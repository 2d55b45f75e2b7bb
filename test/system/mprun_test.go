package system_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mexec/internal/gauge"
	"mexec/test/hosts"
	"mexec/test/tools"
)

// mprun runs a tool on a host to its end.
func mprun(t *testing.T, h *hosts.Host, dir string, args ...string) result {
	t.Helper()
	cmd := h.Command("mprun", args...)
	cmd.Dir = dir
	return run(t, cmd)
}

// job is a program that notes itself like a noted recipe. It is a script of its own: what starts it starts one program.
func job(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "job")
	write(t, path, "#!/bin/sh\n"+strings.NewReplacer("@", "", "$$", "$", "$@", "$1").Replace(noted)+"\n")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// everywhere fails the test unless n jobs ran, on each of the three, and mprun has counted them.
func everywhere(t *testing.T, dir string, n int, r result) {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	began, most := overlap(t, dir)
	if began["node1"]+began["node2"]+began["node3"] != n || len(began) != 3 {
		t.Errorf("ran on %v; said %q", began, r.errs)
	}
	for node, m := range most {
		if m > trio.hs.Slots() {
			t.Errorf("%d at once on %s", m, node)
		}
	}
	if !strings.Contains(r.errs, fmt.Sprintf(": %d commands in ", n)) {
		t.Errorf("said %q", r.errs)
	}
}

func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

func TestWhatXargsStartsSpreads(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	cmd := node1.Command("mprun", "xargs", "-P12", "-n1", job(t, dir))
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(numbers(24))
	everywhere(t, dir, 24, run(t, cmd))
}

func TestWhatAScriptStartsInTheBackgroundSpreads(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	job(t, dir)
	write(t, filepath.Join(dir, "all.sh"), "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do ./job $i & done; (./job 13 & ./job 14; wait) & wait\n")
	everywhere(t, dir, 14, mprun(t, node1, dir, "sh", "all.sh"))
}

func TestWhatAPerlProgramStartsSpreads(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	job(t, dir)
	write(t, filepath.Join(dir, "all.pl"), `for my $i (1..12) { unless (fork) { exec "./job", $i; die } } while (wait > 0) { exit 1 if $? }`)
	everywhere(t, dir, 12, mprun(t, node1, dir, "perl", "all.pl"))
}

// Ninja runs all by the shell, and takes what it prints by a pipe.
func TestWhatNinjaStartsSpreads(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	ninja := filepath.Join(dir, "ninja")
	if err := os.Symlink(tools.Path(t, "ninja-1.13"), ninja); err != nil {
		t.Fatal(err)
	}
	job(t, dir)
	text := "rule job\n  command = ./job $out; echo printed\nrule link\n  command = cat $in >$out\n"
	var all []string
	for i := range 24 {
		text += fmt.Sprintf("build t%d: job\n", i)
		all = append(all, fmt.Sprint("t", i))
	}
	write(t, filepath.Join(dir, "build.ninja"), text+"build all: link "+strings.Join(all, " ")+"\n")
	r := mprun(t, node1, dir, ninja)
	everywhere(t, dir, 24, r) // and the link, which is one cat, has stayed
	if strings.Count("\n"+r.out, "\nprinted\n") != 24 {
		t.Errorf("said %q", r.out)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "all")); err != nil || strings.Count(string(b), "node") != 24 {
		t.Errorf("%q, %v", b, err)
	}
}

// A script starts a ninja, and ninja a make: each is a driver, and only what the last ones start travels.
func TestADriverBelowADriverStaysAndWhatItStartsSpreads(t *testing.T) {
	node1, _, _ := three(t)
	dir := project(t, 12)
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(tools.Path(t, "ninja-1.13"), filepath.Join(bin, "ninja")); err != nil {
		t.Fatal(err)
	}
	job(t, dir)
	text := "rule make\n  command = make -s\nrule job\n  command = ./job $out\nbuild made: make\n"
	for i := range 12 {
		text += fmt.Sprintf("build n%d: job\n", i)
	}
	write(t, filepath.Join(dir, "build.ninja"), text)
	write(t, filepath.Join(dir, "all.sh"), "PATH=$PWD/bin:$PATH\nninja -j9\n")
	everywhere(t, dir, 24, mprun(t, node1, dir, "sh", "all.sh"))
}

// cmake is a driver with --build only: the other call travels whole, and runs its six jobs on the node where it is.
func TestADriverByItsArgumentsStaysAtAnyDepth(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	job(t, dir)
	script(t, filepath.Join(dir, "cmake"), "for i in 1 2 3 4 5 6; do ./job $2$i & done; wait\n")
	write(t, filepath.Join(dir, "all.sh"), "sh -c 'cd . && ./cmake --build a' & ./cmake --build b & wait\n")
	everywhere(t, dir, 12, mprun(t, node1, dir, "sh", "all.sh"))

	dir = t.TempDir()
	job(t, dir)
	script(t, filepath.Join(dir, "cmake"), "for i in 1 2 3 4 5 6; do ./job $2$i & done; wait\n")
	r := mprun(t, node1, dir, "sh", "-c", "./cmake -E a; :")
	began, _ := overlap(t, dir)
	if r.code != 0 || len(began) != 1 || !strings.Contains(r.errs, "mprun: 1 command in ") {
		t.Errorf("%+v; ran on %v", r, began)
	}
}

// Below make a line that calls another driver stays as a nested make does, whatever make thinks of it; and a file is obeyed.
func TestADriverInARecipeOfMpmakeStaysAndWhatItStartsSpreads(t *testing.T) {
	node1, _, _ := three(t)
	for _, make := range []string{"make", "make-4.4.1"} {
		dir := t.TempDir()
		job(t, dir)
		script(t, filepath.Join(dir, "ninja"), "for i in 1 2 3 4 5 6; do ./job $1$i & done; wait\n")
		write(t, filepath.Join(dir, ".mexec.toml"), `local = ["hostname"]`+"\n")
		write(t, filepath.Join(dir, "Makefile"), "all: a b c\na b: ; cd . && ./ninja $@\nc: ; hostname\n")
		cmd := node1.Command("mpmake", "-s", "-j12")
		if make != "make" {
			cmd.Env = append(cmd.Env, "MEXEC_MAKE="+tools.Path(t, make))
		}
		cmd.Dir = dir
		r := run(t, cmd)
		everywhere(t, dir, 12, r)
		if r.out != "node1\n" {
			t.Errorf("%s: said %q", make, r.out)
		}
	}
}

func script(t *testing.T, path, text string) {
	t.Helper()
	write(t, path, "#!/bin/sh\n"+text)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestAProjectSaysWhatStaysAndWhatTravels(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".mexec.toml"), `local = ["jo*"]`+"\n"+`travel = ["uname"]`+"\n")
	job(t, dir)
	r := mprun(t, node1, dir, "env", "NODES=2", "sh", "-c", "./job 1 & ./job 2 & wait; uname -n; basename /a/b; hostname; :")
	began, _ := overlap(t, dir)
	if r.code != 0 || len(began) != 1 || began["node1"] != 2 || r.out != "node2\nb\nnode1\n" {
		t.Errorf("%+v; ran on %v", r, began)
	}
	if !strings.Contains(r.errs, "mprun: 1 command in ") {
		t.Errorf("said %q", r.errs)
	}
}

func TestWithoutADaemonNoMoreRunsAtOnceThanSlots(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	cmd := node1.Command("mprun", "xargs", "-P12", "-n1", job(t, dir))
	cmd.Env = append(cmd.Env, "MEXEC_SOCKET=/nonexistent/sock")
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(numbers(12))
	if r := run(t, cmd); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	alone(t, dir, "node1", 12, gauge.Slots())
}

func TestMprunEndsAsItsTool(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	if r := mprun(t, node1, dir, "sh", "-c", "exit 7"); r.code != 7 {
		t.Errorf("%+v", r)
	}
	// Of those that Go has a use for it printed its stacks and ended with 2; those that it ignores took a second, and were a status.
	for s := syscall.SIGHUP; s <= syscall.SIGSYS; s++ {
		switch s {
		case syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGURG, syscall.SIGWINCH:
			continue
		}
		if r := mprun(t, node1, dir, "--quiet", "sh", "-c", fmt.Sprintf("kill -%d $$", s)); r.signal != s || r.errs != "" {
			t.Errorf("%v: %+v", s, r)
		}
	}
}

func TestWhatIsNoProgramIsToMprunWhatItIsToEnv(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"plain": "echo $0 $1; exit 4\n", "empty": "", "lost": "#!/no/such/shell\n"} {
		write(t, filepath.Join(dir, name), text)
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range []string{"./plain", "./empty", "./lost", "./none", "/"} {
		cmd := node1.Command("env", tool, "word")
		cmd.Dir = dir
		want := run(t, cmd)
		if got := mprun(t, node1, dir, "--quiet", tool, "word"); got.code != want.code || got.out != want.out || (got.errs == "") != (want.errs == "") {
			t.Errorf("%s: %+v, and by env %+v", tool, got, want)
		}
	}
}

func TestBadInputToMprunIsOneLineThatSaysWhatToDo(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"--explian ninja", 125, "mprun: --explian: no such option; the tool's own go behind its name\n"},
		{"nosuchtool", 127, "nosuchtool"},
		{"/etc/passwd", 126, "permission denied"},
		{"", 125, "usage: mprun"},
	} {
		r := mprun(t, node1, dir, strings.Fields(c.args)...)
		if r.code != c.code || !strings.Contains(r.errs, c.says) || r.out != "" {
			t.Errorf("mprun %s: %+v", c.args, r)
		}
	}
	write(t, filepath.Join(dir, ".mexec.toml"), "local = [\n")
	if r := mprun(t, node1, dir, "true"); r.code != 125 || !strings.HasPrefix(r.errs, "mprun: policy "+dir+"/.mexec.toml:") || strings.Count(r.errs, "\n") != 1 {
		t.Errorf("%+v", r)
	}
}

// A configure does one small thing after the other. Whoever wants to see these spread has a word for it.
func TestAConfigureTravelsItselfUnlessAFileSaysThatItDrives(t *testing.T) {
	node1, node2, _ := three(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "configure")
	write(t, path, "#!/bin/sh\nhere() { read node </proc/sys/kernel/hostname; echo \"$1 on $node\"; }\nhere \"$0 $*\"\ncat\nsh -c 'read node </proc/sys/kernel/hostname; echo $node' child\nenv | grep -e DRIVER -e LD_PRELOAD -e MAKEFLAGS\nexit 3\n")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	configure := func() result {
		cmd := node1.Command("mprun", "./configure", "--with", "a b")
		cmd.Dir, cmd.Stdin = dir, strings.NewReader("input\n")
		cmd.Env = append(cmd.Env, "NODES="+node2.Name)
		return run(t, cmd)
	}
	r := configure()
	if r.code != 3 || r.out != "./configure --with a b on node2\ninput\nnode2\n" || !strings.HasPrefix(r.errs, "mprun: 1 command in ") {
		t.Errorf("%+v", r)
	}
	if r := mprun(t, node1, dir, "--explain", "./configure"); r.code != 0 || !strings.HasPrefix(r.out, "./configure travels, with all that it starts (built in: configure).\n") {
		t.Errorf("%+v", r)
	}
	write(t, filepath.Join(dir, ".mexec.toml"), `drive = ["configure"]`+"\n")
	if r := configure(); r.code != 3 || !strings.HasPrefix(r.out, "./configure --with a b on node1\ninput\nnode2\n") {
		t.Errorf("%+v", r)
	}
}

func TestExplainStartsNothing(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".mexec.toml"), `local = ["git*"]`+"\n")
	r := mprun(t, node1, dir, "--explain", "sh", "-c", "touch started")
	for _, line := range []string{"  stays (" + dir + "/.mexec.toml): git*\n", "  stays, what it starts travels (built in): cargo 'cmake --build' ctest ", "MAKEFLAGS= -j12 --jobserver-auth=", " sh -c touch started\n"} {
		if !strings.Contains(r.out, line) {
			t.Errorf("%q is not in\n%s", line, r.out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "started")); err == nil || r.code != 0 || r.errs != "" {
		t.Errorf("%+v", r)
	}
}

// To the stub it would be the stub.
func TestAToolThatStartsItselfByProcSelfExeGetsItself(t *testing.T) {
	node1, _, _ := three(t)
	for _, shell := range []string{"bash -c", busybox(t) + " sh -c"} {
		words := append(strings.Fields(shell), "(exec -a sh /proc/self/exe -c 'echo $((6 * 7))'); :")
		if r := mprun(t, node1, t.TempDir(), words...); r.code != 0 || r.out != "42\n" {
			t.Errorf("%s: %+v", shell, r)
		}
	}
}

// Make says that it takes /tmp then, if it needs one at all.
func TestATmpdirThatIsNotThereIsNoObstacle(t *testing.T) {
	node1, _, _ := three(t)
	cmd := node1.Command("mprun", "--quiet", "sh", "-c", "echo $TMPDIR; :")
	cmd.Env = append(cmd.Env, "TMPDIR=/no/such/directory")
	if r := run(t, cmd); r.code != 0 || r.out != "/no/such/directory\n" || r.errs != "" {
		t.Errorf("%+v", r)
	}
}

// A socket's name has to fit into 108 bytes.
func TestATmpdirWithALongNameIsNoObstacle(t *testing.T) {
	node1, _, _ := three(t)
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 25))
	if err := os.Mkdir(long, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := node1.Command("mprun", "sh", "-c", "echo $TMPDIR; :")
	cmd.Env = append(cmd.Env, "TMPDIR="+long)
	if r := run(t, cmd); r.code != 0 || r.out != long+"\n" {
		t.Errorf("%+v", r)
	}
	if left, err := os.ReadDir(long); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
