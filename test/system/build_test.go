package system_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"mexec/internal/gauge"
	"mexec/test/hosts"
)

// noted is a recipe that makes its target, and notes in the file log when it begins and ends and where. The order of the lines is that of
// the events, so the most that ran at once can be read off it.
const noted = `@read node </proc/sys/kernel/hostname; echo "+ $$node" >>log; sleep 0.1; echo $$node >$@; echo "- $$node" >>log`

// project makes a directory with a makefile, and returns it. For `make all` it has n noted targets.
func project(t *testing.T, n int, more ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	var targets []string
	for i := range n {
		targets = append(targets, fmt.Sprint("t", i))
	}
	text := "all: " + strings.Join(targets, " ") + "\n" + strings.Join(targets, " ") + ":\n\t" + noted + "\n" + strings.Join(more, "\n") + "\n"
	write(t, filepath.Join(dir, "Makefile"), text)
	return dir
}

// mpmake runs a build on a host to its end.
func mpmake(t *testing.T, h *hosts.Host, dir string, args ...string) result {
	t.Helper()
	cmd := h.Command("mpmake", args...)
	cmd.Dir = dir
	return run(t, cmd)
}

// overlap reads a log: how many noted recipes began on each node, and the most that ran there at once.
func overlap(t *testing.T, dir string) (began, most map[string]int) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	began, most = map[string]int{}, map[string]int{}
	now := map[string]int{}
	for line := range strings.Lines(string(b)) {
		switch what, node, _ := strings.Cut(strings.TrimSpace(line), " "); what {
		case "+":
			began[node]++
			now[node]++
			most[node] = max(most[node], now[node])
		case "-":
			now[node]--
		}
	}
	return began, most
}

// alone fails the test unless n recipes ran, all on one node and never more than slots at once.
func alone(t *testing.T, dir string, node string, n, slots int) {
	t.Helper()
	began, most := overlap(t, dir)
	if len(began) != 1 || began[node] != n || most[node] > slots {
		t.Errorf("ran on %v, at most %v at once; not %d on %s, %d at once", began, most, n, node, slots)
	}
}

var lastLine = regexp.MustCompile(`(?m)^mpmake: (\d+) commands? in \d+\.\d s: (.*)\n\z`)

func TestABuildSpreadsAndItsLastLineSaysHow(t *testing.T) {
	node1, _, _ := three(t)
	dir := project(t, 24)
	r := mpmake(t, node1, dir)
	if r.code != 0 || r.out != "" {
		t.Fatalf("%+v", r)
	}
	began, most := overlap(t, dir)
	if len(began) != 3 {
		t.Errorf("ran on %v", began)
	}
	for node, n := range most {
		if n > trio.hs.Slots() {
			t.Errorf("%d at once on %s", n, node)
		}
	}
	var where []string
	for _, node := range []string{"node1", "node2", "node3"} {
		where = append(where, fmt.Sprint(node, " ", began[node]))
	}
	m := lastLine.FindStringSubmatch(r.errs)
	if m == nil || m[1] != "24" || m[2] != strings.Join(where, ", ") {
		t.Errorf("it says %q; ran on %v", r.errs, began)
	}
}

// A make's own file functions show where it runs, its recipes' host names where they do.
func TestANestedMakeRunsAtHomeAndItsRecipesSpread(t *testing.T) {
	node1, _, _ := three(t)
	dir := project(t, 2, "all: one two", "one two:\n\t$(MAKE) -C $@", ".PHONY: one two")
	for _, sub := range []string{"one", "two"} {
		os.Mkdir(filepath.Join(dir, sub), 0o755)
		write(t, filepath.Join(dir, sub, "Makefile"),
			"$(file >made-on,$(file </proc/sys/kernel/hostname))\nall: a b c d e f g h\n\t+@$(MAKE) deeper\ndeeper: i j\na b c d e f g h i j:\n\t"+
				strings.ReplaceAll(noted, "log", "../log")+"\n")
	}
	r := mpmake(t, node1, dir, "-j9")
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	for _, sub := range []string{"one", "two"} {
		if b, _ := os.ReadFile(filepath.Join(dir, sub, "made-on")); string(b) != "node1\n" {
			t.Errorf("the make in %s ran on %q", sub, b)
		}
	}
	if began, _ := overlap(t, dir); began["node1"]+began["node2"]+began["node3"] != 22 || len(began) != 3 {
		t.Errorf("ran on %v", began)
	}
	if m := lastLine.FindStringSubmatch(r.errs); m == nil || m[1] != "22" || strings.Count(r.errs, "mpmake:") != 1 {
		t.Errorf("it says %q", r.errs)
	}
}

// The stock make is the reference: for each line of arguments, status and output are the same, but for our last line.
func TestStatusAndMessagesAreMakesOwn(t *testing.T) {
	node1, _, _ := three(t)
	const makefile = `
all: ok
ok good: ; @echo $@; echo to stderr >&2
bad: ; @echo half >$@; exit 3
killed: ; kill -KILL $$$$
missing: ; ./no-such-program
ignored: ; -false
.DELETE_ON_ERROR:
loud: ; echo loud
quiet: ; @:
late: bad ; echo never
env: ; @echo $(MAKEFLAGS)
.PHONY: all ok good env
`
	for _, args := range []string{
		"", "bad", "killed", "missing", "ignored", "nothing-known", "loud", "quiet",
		"-k bad late good", "-k late killed ok", "-n loud bad", "-s loud", "-q loud", "-t loud", "-i bad loud", "-B quiet",
		"-j2 bad", "-j 2 ok", "--jobs=2 loud", "-j1 bad good", "-kj2 killed loud", "-sj2 loud good", "-Otarget -j2 ok", "--no-such-option", "--version",
	} {
		word := strings.Fields(args)
		if !strings.Contains(args, "-j") {
			word = append(word, "-j1") // else mpmake says how many
		}
		outcome := func(program string) result {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "Makefile"), makefile)
			cmd := node1.Command(program, word...)
			cmd.Dir = dir
			if program == "mpmake" {
				cmd.Env = append(cmd.Env, "NODES=2,3")
			}
			r := run(t, cmd)
			left, _ := filepath.Glob(filepath.Join(dir, "*"))
			for _, file := range left {
				r.out += filepath.Base(file) + " is left\n"
			}
			r.errs = lastLine.ReplaceAllString(r.errs, "")
			return r
		}
		if stock, ours := outcome("make"), outcome("mpmake"); stock != ours {
			t.Errorf("make %s:\n  make   %+v\n  mpmake %+v", args, stock, ours)
		}
	}
}

func TestTheNumberOfJobsIsThatOfMakeFlagsTooAndElseThatOfTheSlots(t *testing.T) {
	node1, _, _ := three(t)
	for _, c := range []struct {
		makeflags string
		args      []string
		least     int
		most      int
	}{
		{"", []string{"-j3"}, 2, 3},
		{"", []string{"--jobs=2"}, 2, 2},
		{"-j2", nil, 2, 2},
		{"", []string{"-j"}, 4, 12},
		{"", nil, 4, 12},
	} {
		dir := project(t, 24)
		write(t, filepath.Join(dir, "Makefile"), strings.ReplaceAll(read(t, filepath.Join(dir, "Makefile")), "$$node\" >>log", "here\" >>log"))
		cmd := node1.Command("mpmake", c.args...)
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "MAKEFLAGS="+c.makeflags)
		if r := run(t, cmd); r.code != 0 {
			t.Fatalf("%+v", r)
		}
		if _, most := overlap(t, dir); most["here"] < c.least || most["here"] > c.most {
			t.Errorf("MAKEFLAGS=%s mpmake %v: %d at once", c.makeflags, c.args, most["here"])
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAnInterruptedBuildLeavesNoHalfMadeTargetAndSucceedsTheNextTime(t *testing.T) {
	node1, _, _ := three(t)
	dir := project(t, 3, "all: half", "half:\n\techo half >$@; : >started; while [ ! -e go ]; do sleep 0.02; done; echo whole >$@")
	cmd := node1.Command("mpmake", "-j8")
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "NODES=2,3")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end := background(t, cmd)
	eventually(t, "the target is half made", func() bool {
		_, err := os.Stat(filepath.Join(dir, "started"))
		return err == nil
	})
	syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
	r := end()
	if r.signal != syscall.SIGINT || !strings.Contains(r.errs, "Deleting file 'half'") {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(dir, "half")); err == nil {
		t.Error("the half-made target is still there")
	}
	write(t, filepath.Join(dir, "go"), "")
	if r := mpmake(t, node1, dir); r.code != 0 || read(t, filepath.Join(dir, "half")) != "whole\n" {
		t.Errorf("the second time: %+v", r)
	}
}

// What follows is about a cluster that is no help: the build succeeds here, and here is not flooded.

func TestWithoutAnyDaemonABuildRunsHereWithinTheLocalSlots(t *testing.T) {
	needRoot(t)
	hs := hosts.Test(t, hosts.Config{N: 1, Bare: true, Bin: bin})
	for _, jobs := range []string{"-j32", "-j"} {
		dir := project(t, 12)
		r := mpmake(t, hs.All[0], dir, jobs)
		if m := lastLine.FindStringSubmatch(r.errs); r.code != 0 || m == nil || m[2] != "node1 12" {
			t.Errorf("%+v", r)
		}
		alone(t, dir, "node1", 12, gauge.Slots())
	}
	// Without -j, make has as many jobs as there are slots.
	dir := project(t, 12)
	if r := mpmake(t, hs.All[0], dir); r.code != 0 {
		t.Errorf("%+v", r)
	}
	if _, most := overlap(t, dir); most["node1"] != gauge.Slots() {
		t.Errorf("%d at once", most["node1"])
	}
}

// broken returns a set of hosts of two slots, the first of which is about to be left alone.
func broken(t *testing.T) *hosts.Hosts {
	t.Helper()
	needRoot(t)
	hs := hosts.Test(t, hosts.Config{N: 3, Slots: 2, Bin: bin})
	if err := hs.WaitUp(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	return hs
}

func TestInADeadClusterABuildRunsHereWithinTheLocalSlots(t *testing.T) {
	hs := broken(t)
	node1 := hs.All[0]
	if r := mpmake(t, node1, project(t, 12), "-j32"); r.code != 0 { // links stand and grants are held when the others die
		t.Fatalf("%+v", r)
	}
	for _, h := range hs.All[1:] {
		if err := h.KillDaemon(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	dir := project(t, 12)
	if r := mpmake(t, node1, dir, "-j32"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	alone(t, dir, "node1", 12, 2)
}

// The same, but they go one after the other while a wide build runs on all of them: what they had is lost, and nothing of the rest comes home at once.
func TestWhenTheWorkersVanishOneAfterTheOtherNoMoreRunsHereThanTheLocalSlots(t *testing.T) {
	hs := broken(t)
	node1 := hs.All[0]
	dir := project(t, 60)
	cmd := node1.Command("mpmake", "-k", "-j32")
	cmd.Dir = dir
	end := background(t, cmd)
	log := filepath.Join(dir, "log")
	for i, h := range hs.All[1:] {
		eventually(t, fmt.Sprintf("%s works for the build, and %d recipes have begun", h.Name, 10*(i+1)), func() bool {
			b, _ := os.ReadFile(log)
			return bytes.Contains(b, []byte("+ "+h.Name)) && bytes.Count(b, []byte("+")) >= 10*(i+1)
		})
		if err := h.KillDaemon(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	r := end()
	lost := strings.Count(r.errs, "lost on node")
	began, most := overlap(t, dir)
	if lost > 4 || strings.Count(r.errs, "] Error 125") != lost || (lost == 0) != (r.code == 0) {
		t.Errorf("%d lost: %+v", lost, r)
	}
	if most["node1"] > 2 || began["node1"] < 20 {
		t.Errorf("ran on %v, at most %v at once", began, most)
	}
	if made, _ := filepath.Glob(filepath.Join(dir, "t*")); len(made) < 60-lost {
		t.Errorf("%d made and %d lost of 60", len(made), lost)
	}
	if r := mpmake(t, node1, dir, "-j32"); r.code != 0 {
		t.Errorf("the second time: %+v", r)
	}
}

func TestWhereAllOthersRefuseABuildRunsHereWithinTheLocalSlots(t *testing.T) {
	hs := broken(t)
	dir := project(t, 12)
	for _, h := range hs.All[1:] {
		if r := run(t, h.Command("mount", "-t", "tmpfs", "hidden", filepath.Dir(dir))); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	if r := mpmake(t, hs.All[0], dir, "-j32"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	alone(t, dir, "node1", 12, 2)
}

// What runs elsewhere when the home daemon dies is lost, and make says so; what waits runs here all the same.
func TestWhenTheHomeDaemonDiesInABuildWhatWaitsRunsHereWithinTheLocalSlots(t *testing.T) {
	hs := broken(t)
	node1 := hs.All[0]
	dir := project(t, 20)
	write(t, filepath.Join(dir, "Makefile"), strings.ReplaceAll(read(t, filepath.Join(dir, "Makefile")), "sleep 0.1", "sleep 0.3"))
	cmd := node1.Command("mpmake", "-k", "-j32")
	cmd.Dir = dir
	end := background(t, cmd)
	log := filepath.Join(dir, "log")
	eventually(t, "the build runs everywhere", func() bool {
		b, _ := os.ReadFile(log)
		return bytes.Contains(b, []byte("node1")) && bytes.Contains(b, []byte("node2")) && bytes.Contains(b, []byte("node3"))
	})
	if err := node1.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r := end()
	lost := strings.Count(r.errs, "/bin/sh: lost") // on which node was not told of those that found a free slot
	if r.code != 2 || lost == 0 || lost > 4 || strings.Count(r.errs, "] Error 125") != lost {
		t.Errorf("%d lost: %+v", lost, r)
	}
	made, _ := filepath.Glob(filepath.Join(dir, "t*"))
	began, most := overlap(t, dir)
	// A lost one may have been killed before its first word.
	if all := began["node1"] + began["node2"] + began["node3"]; len(made) != 20-lost || all < 20-lost || all > 20 {
		t.Errorf("%d made and %d lost of 20, ran on %v", len(made), lost, began)
	}
	if most["node1"] > max(2, gauge.Slots()) {
		t.Errorf("%d at once here", most["node1"])
	}
	if r := mpmake(t, node1, dir, "-j32"); r.code != 0 {
		t.Errorf("the second time: %+v", r)
	}
}
