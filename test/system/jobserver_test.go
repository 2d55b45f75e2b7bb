package system_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec/test/hosts"
	"mexec/test/tools"
)

// makes are the makes whose nested ones are to share a jobserver across nodes, each with the arguments that choose its style.
func makes(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{"4.3 with a pipe": {"make"}}
	if path, err := tools.Find("make-4.4.1"); err == nil {
		all["4.4.1 with a fifo"] = []string{path}
		all["4.4.1 with a pipe"] = []string{path, "--jobserver-style=pipe"}
	}
	return all
}

// leaves is a makefile whose targets are noted recipes, n of them.
func leaves(t *testing.T, path string, n int) {
	t.Helper()
	write(t, path, fmt.Sprintf("all: $(foreach i,$(shell seq %d),$(T)-$i)\n$(T)-%%:\n\t%s\n", n, noted))
}

// mostAtOnce reads a log of noted recipes: how many there were on each node, and the most that ran at once on all together.
func mostAtOnce(t *testing.T, dir string) (began map[string]int, most int) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	began = map[string]int{}
	now := 0
	for line := range strings.Lines(string(b)) {
		switch what, node, _ := strings.Cut(strings.TrimSpace(line), " "); what {
		case "+":
			began[node]++
			now++
			most = max(most, now)
		case "-":
			now--
		}
	}
	return began, most
}

// quiet fails the test if a make complained about its jobserver: about tokens that are missing or too many at its end, too.
func quiet(t *testing.T, r result) {
	t.Helper()
	if r.code != 0 || r.signal != 0 {
		t.Errorf("%+v", r)
	}
	for _, word := range []string{"INTERNAL", "jobserver", "warning"} {
		if strings.Contains(r.errs, word) || strings.Contains(r.out, word) {
			t.Errorf("make says %q, %q", r.out, r.errs)
			return
		}
	}
}

func TestNestedMakesOnOtherNodesShareTheTokensOfTheTopOne(t *testing.T) {
	node1, _, _ := three(t)
	for name, command := range makes(t) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "Makefile"), "all: a-2 b-3 c-2\n%:\n\t+@mexec -n $(lastword $(subst -, ,$@)) "+command[0]+" --no-print-directory -f leaf.mk T=$@\n")
		leaves(t, filepath.Join(dir, "leaf.mk"), 8)
		cmd := node1.Command(command[0], append(command[1:], "-j6")...)
		cmd.Dir = dir
		quiet(t, run(t, cmd))
		began, most := mostAtOnce(t, dir)
		if began["node2"] != 16 || began["node3"] != 8 {
			t.Errorf("%s: recipes ran on %v", name, began)
		}
		if most > 6 || most < 4 { // three of them need no token
			t.Errorf("%s: with -j6, %d recipes ran at once", name, most)
		}
	}
}

// The middle make is a client of its own node's pipe, from which the daemon there lends to the third level.
func TestThreeLevelsOfMakeOnThreeNodesShareOneSetOfTokens(t *testing.T) {
	node1, _, _ := three(t)
	for name, command := range makes(t) {
		dir := t.TempDir()
		nested := func(node int, file string) string {
			return fmt.Sprintf("+@NODES=%d $(MAKE) --no-print-directory -f %s T=$@\n", node, file)
		}
		write(t, filepath.Join(dir, "Makefile"), "all: m1 m2\nm1 m2:\n\t"+nested(2, "middle.mk"))
		write(t, filepath.Join(dir, "middle.mk"), "all: $(T)-x $(T)-y $(T)-z\n$(T)-x $(T)-y:\n\t"+nested(3, "leaf.mk")+"$(T)-z:\n\t"+noted+"\n")
		leaves(t, filepath.Join(dir, "leaf.mk"), 6)
		cmd := node1.Command(command[0], append(command[1:], "-j5", "MAKE=mexec "+command[0])...)
		cmd.Dir = dir
		quiet(t, run(t, cmd))
		began, most := mostAtOnce(t, dir)
		if began["node2"] != 2 || began["node3"] != 24 {
			t.Errorf("%s: recipes ran on %v", name, began)
		}
		if most > 5 || most < 3 {
			t.Errorf("%s: with -j5, %d recipes ran at once", name, most)
		}
	}
}

// ninja never waits for a token: it looks for one each time that a job of its own has ended.
func TestNinjaOnAnotherNodeUsesTheTokensOfAMakeHere(t *testing.T) {
	node1, _, _ := three(t)
	ninja, dir := tools.Path(t, "ninja-1.13"), t.TempDir()
	var edges strings.Builder
	edges.WriteString("rule r\n  command = read node </proc/sys/kernel/hostname; echo \"+ $$node\" >>log; sleep 0.1; echo \"- $$node\" >>log; touch $out\n")
	for i := range 40 {
		fmt.Fprintf(&edges, "build o%d: r\n", i)
	}
	write(t, filepath.Join(dir, "build.ninja"), edges.String())
	write(t, filepath.Join(dir, "Makefile"), "all:\n\t@mexec -n 2 "+ninja+" --quiet\n")
	cmd := node1.Command(tools.Path(t, "make-4.4.1"), "-j6")
	cmd.Dir = dir
	quiet(t, run(t, cmd))
	began, most := mostAtOnce(t, dir)
	if began["node2"] != 40 || most > 6 || most < 3 {
		t.Errorf("with -j6, %d jobs of ninja ran at once; %v", most, began)
	}
}

// bank is a jobserver of the test itself: a fifo with tokens that can be told apart.
type bank struct {
	t    *testing.T
	path string
	f    *os.File
	all  []byte
}

func newBank(t *testing.T, tokens int) *bank {
	t.Helper()
	b := &bank{t: t, path: filepath.Join(t.TempDir(), "bank")}
	if err := unix.Mkfifo(b.path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(b.path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for i := range tokens {
		b.all = append(b.all, byte('a'+i))
	}
	b.f = f
	f.Write(b.all)
	return b
}

func (b *bank) flags() string {
	return "MAKEFLAGS= -j9 --jobserver-auth=fifo:/nowhere --jobserver-auth=fifo:" + b.path + " -- X=fifo:" + b.path
}

func (b *bank) free() int {
	n, _ := unix.IoctlGetInt(int(b.f.Fd()), unix.TIOCINQ)
	return n
}

// whole fails unless all tokens are there now, or soon, and are the same.
func (b *bank) whole(soon bool) {
	b.t.Helper()
	if soon {
		eventually(b.t, "all tokens are home", func() bool { return b.free() == len(b.all) })
	}
	if n := b.free(); n != len(b.all) {
		b.t.Fatalf("%d of %d tokens are home", n, len(b.all))
	}
	got := make([]byte, len(b.all))
	io.ReadFull(b.f, got)
	b.f.Write(got)
	if slices.Sort(got); !bytes.Equal(got, b.all) {
		b.t.Fatalf("%q came home of %q", got, b.all)
	}
}

// client is a job with three processes that each take a token when they can get one, note it, keep it for $1 seconds and bring it back; $2 is how often.
const client = `
fifo=${MAKEFLAGS#*fifo:/nowhere --jobserver-auth=fifo:}; fifo=${fifo%% *}
one() {
	exec 8<>"$fifo"
	for i in $(seq $2); do
		token=$(dd bs=1 count=1 <&8 2>/dev/null)
		echo "+ $token" >>"$LOG"; sleep $1; echo "- $token" >>"$LOG"
		printf %s "$token" >&8
	done
}
one $1 $2 & one $1 $2 & one $1 $2 & wait`

func (b *bank) client(h *hosts.Host, log string, args ...string) *exec.Cmd {
	cmd := sh(h, `exec mexec -n 2 sh -c "$@"`, append([]string{client, "sh"}, args...)...)
	cmd.Env = append(cmd.Environ(), b.flags(), "LOG="+log)
	return cmd
}

func TestTokensAreHomeWhenTheEndOfTheirJobIsTold(t *testing.T) {
	node1, _, _ := three(t)
	b := newBank(t, 2)
	log := filepath.Join(t.TempDir(), "log")
	r := run(t, b.client(node1, log, "0.01", "4"))
	b.whole(false)
	if text, _ := os.ReadFile(log); r.code != 0 || bytes.Count(text, []byte("+")) != 12 {
		t.Errorf("%+v: %s", r, text)
	}
}

func TestTokensOfRemoteJobsThatAreKilledComeHome(t *testing.T) {
	node1, _, _ := three(t)
	b := newBank(t, 5)
	log := filepath.Join(t.TempDir(), "log")
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 12 {
		var cmds []*exec.Cmd
		for range 3 {
			c := b.client(node1, log, "0.02", "1000")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			cmds = append(cmds, c)
		}
		if round%3 == 0 {
			eventually(t, "the jobs have all tokens", func() bool { return b.free() == 0 })
		}
		for _, c := range cmds {
			end := time.After(time.Duration(random.IntN(200)) * time.Millisecond)
			<-end
			c.Process.Signal([]syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT}[random.IntN(3)])
			c.Wait()
		}
		b.whole(true)
	}
}

func TestTokensOfANodeThatIsLostComeHome(t *testing.T) {
	node1, node2, _ := three(t)
	b := newBank(t, 4)
	log := filepath.Join(t.TempDir(), "log")
	c := b.client(node1, log, "60", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	eventually(t, "the job has three tokens", func() bool {
		text, _ := os.ReadFile(log)
		return bytes.Count(text, []byte("+")) == 3
	})
	killDaemon(t, node2)
	b.whole(true)
	if err := node2.StartDaemon(); err != nil {
		t.Fatal(err)
	}
}

func TestAJobThatIdlesLeavesTheTokensAtHome(t *testing.T) {
	node1, _, _ := three(t)
	b := newBank(t, 1)
	dir := t.TempDir()
	cmd := sh(node1, `exec mexec -n 2 sh -c "$1"`, `fifo=${MAKEFLAGS#*fifo:/nowhere --jobserver-auth=fifo:}; exec 8<>"${fifo%% *}"; : >up; while ! [ -e stop ]; do sleep 0.02; done`)
	cmd.Dir, cmd.Env = dir, append(cmd.Environ(), b.flags())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool { _, err := os.Stat(filepath.Join(dir, "up")); return err == nil })
	home, looks := 0, 0
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		looks++
		if b.free() == 1 {
			home++
		}
	}
	if home*10 < looks*8 {
		t.Errorf("the only token was home at %d of %d looks", home, looks)
	}
	write(t, filepath.Join(dir, "stop"), "")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	b.whole(false)
}

func TestOnlyThePathOfTheFifoIsAnotherOnTheWorkerAndTheFifoIsTheUsers(t *testing.T) {
	node1, _, _ := three(t)
	b := newBank(t, 1)
	if err := os.Chown(b.path, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	cmd := node1.Command("setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "mexec", "-n", "2", "sh", "-c",
		`printf '%s\n' "$MAKEFLAGS"; f=${MAKEFLAGS#*fifo:/nowhere --jobserver-auth=fifo:}; f=${f%% *}; printf '%s\n' "$f"; stat -c '%F %a %u %g' "$f"`)
	cmd.Dir, cmd.Env = "/", append(cmd.Environ(), b.flags())
	r := run(t, cmd)
	lines := strings.Split(r.out, "\n")
	if r.code != 0 || len(lines) != 4 {
		t.Fatalf("%+v", r)
	}
	if want := strings.Replace(b.flags(), "=fifo:"+b.path+" ", "=fifo:"+lines[1]+" ", 1); "MAKEFLAGS="+lines[0] != want || lines[1] == b.path {
		t.Errorf("%q became %q", b.flags(), lines[0])
	}
	if lines[2] != "fifo 600 1000 1000" {
		t.Errorf("it is a %s", lines[2])
	}
	if _, err := os.Stat(lines[1]); err == nil {
		t.Errorf("%s is there at home, too", lines[1])
	}
}

func TestNobodyLendsFromTheFifoOfAnotherUser(t *testing.T) {
	node1, _, _ := three(t)
	b := newBank(t, 3) // root's
	cmd := node1.Command("setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "mexec", "-n", "2", "sh", "-c",
		`f=${MAKEFLAGS#*fifo:/nowhere --jobserver-auth=fifo:}; exec 8<>"${f%% *}"; timeout 0.5 dd bs=1 count=1 <&8 2>/dev/null || echo none`)
	cmd.Dir, cmd.Env = "/", append(cmd.Environ(), b.flags())
	if r := run(t, cmd); r.code != 0 || r.out != "none\n" {
		t.Errorf("%+v", r)
	}
	b.whole(false)
}

func TestAnEnvironmentSetterKeepsTheJobserverOfTheNode(t *testing.T) {
	node1, _, _ := three(t)
	b := newBank(t, 2)
	setter := filepath.Join(t.TempDir(), "setter")
	write(t, setter, "export SET=yes\n")
	log := filepath.Join(t.TempDir(), "log")
	cmd := b.client(node1, log, "0", "2")
	cmd.Env = append(cmd.Env, "ENVSETTER="+setter)
	if r := run(t, cmd); r.code != 0 {
		t.Errorf("%+v", r)
	}
	if text, _ := os.ReadFile(log); bytes.Count(text, []byte("+")) != 6 {
		t.Errorf("%s", text)
	}
	b.whole(false)
}

// gcc gives the work of its link to a make of its own, which is a client of the jobserver that it is told of.
func TestALinkOnAnotherNodeUsesTheTokensOfAMakeHere(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	var objects []string
	main := "int main(void) { return 0"
	for i := range 6 {
		write(t, filepath.Join(dir, fmt.Sprintf("f%d.c", i)), fmt.Sprintf("int f%d(int n) { return n + %d; }\n", i, i))
		objects = append(objects, fmt.Sprintf("f%d.o", i))
		main = fmt.Sprintf("int f%d(int);\n%s + f%d(0)", i, main, i)
	}
	write(t, filepath.Join(dir, "main.c"), main+"; }\n")
	link := "gcc -O1 -flto=jobserver -flto-partition=1to1 -o prog main.o " + strings.Join(objects, " ")
	write(t, filepath.Join(dir, "Makefile"), "prog: main.o "+strings.Join(objects, " ")+
		"\n\t+@MAKE=./make mexec -n 2 "+link+" 2>trace\n%.o: %.c\n\t@gcc -O1 -flto -c $<\n")
	write(t, filepath.Join(dir, "make"), "#!/bin/sh\necho \"$MAKEFLAGS\" \"$@\" >args\nexec make \"$@\"\n")
	if err := os.Chmod(filepath.Join(dir, "make"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := node1.Command("make", "-j4")
	cmd.Dir = dir
	quiet(t, run(t, cmd))
	trace, _ := os.ReadFile(filepath.Join(dir, "trace"))
	args, _ := os.ReadFile(filepath.Join(dir, "args"))
	if err := sh(node1, `exec "$1"/prog`, dir).Run(); err == nil || !strings.Contains(err.Error(), "exit status 15") {
		t.Errorf("the program says %v", err)
	}
	if len(trace) > 0 || !strings.HasPrefix(string(args), " -j4 --jobserver-auth=3,4 -f ") {
		t.Errorf("gcc says %q, and runs make with %q", trace, args)
	}
}

// With make 4.3 each recipe is told of a pipe that is open in recursive lines only.
func TestARecipeThatIsNotRecursiveHasNoPipeOnItsNodeEither(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	see := `mexec -n 2 sh -c 'echo "$$MAKEFLAGS"; ls -l /proc/self/fd | sed -n "s/.* \([34]\) -> \(pipe\).*/\1 \2/p"'`
	write(t, filepath.Join(dir, "Makefile"), "all:\n\t@"+see+"\n\t+@"+see+"\n")
	cmd := node1.Command("make", "-j3")
	cmd.Dir = dir
	r := run(t, cmd)
	if flags := " -j3 --jobserver-auth=3,4\n"; r.out != flags+flags+"3 pipe\n4 pipe\n" {
		t.Errorf("%+v", r)
	}
}
