package system_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mexec/test/hosts"
)

// held is a makefile with n recipes that print, hold until there is a file `go`, and print again.
func held(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	var targets []string
	for i := range n {
		targets = append(targets, fmt.Sprint("t", i))
	}
	write(t, filepath.Join(dir, "Makefile"), "all: "+strings.Join(targets, " ")+"\n"+strings.Join(targets, " ")+
		":\n\t@echo begin $@; while [ ! -e go ]; do sleep 0.02; done; echo end $@\n")
	return dir
}

// seat is a shell at a terminal of tmux, in a directory.
func seat(t *testing.T, h *hosts.Host, dir string, cols, rows int) tmux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip(err)
	}
	x := tmux{t, h, fmt.Sprintf("mexec-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))}
	conf := filepath.Join(t.TempDir(), "conf")
	write(t, conf, "set -g status off\nset -g default-terminal screen-256color\n")
	x.run("-u", "-f", conf, "new-session", "-d", "-c", dir, "-x", fmt.Sprint(cols), "-y", fmt.Sprint(rows), "bash", "--norc", "-i")
	t.Cleanup(func() { x.host.Command("tmux", "-L", x.name, "kill-server").Run() })
	x.shows("$")
	x.run("send-keys", "clear", "Enter")
	eventually(t, "an empty screen", func() bool { return strings.TrimSpace(x.run("capture-pane", "-p")) == "$" })
	x.run("clear-history")
	return x
}

func (x tmux) types(text string) {
	x.t.Helper()
	x.run("send-keys", text, "Enter")
}

// history is all lines that are or were on the screen.
func (x tmux) history() []string {
	x.t.Helper()
	return strings.Split(strings.TrimRight(x.run("capture-pane", "-p", "-S", "-"), "\n"), "\n")
}

// over waits for the shell's word and fails the test unless each line of the build is there once, as one line, and nothing of the block.
func (x tmux) over(word string, n int) {
	x.t.Helper()
	x.shows(word)
	all := x.history()
	for i := range n {
		for _, what := range []string{"begin", "end"} {
			line := fmt.Sprintf("%s t%d", what, i)
			if count := strings.Count("\n"+strings.Join(all, "\n")+"\n", "\n"+line+"\n"); count != 1 {
				x.t.Errorf("%q is there %d times", line, count)
			}
		}
	}
	if text := strings.Join(all, "\n"); strings.Contains(text, "waiting") || strings.Contains(text, "░") || x.t.Failed() {
		x.t.Errorf("in the end there is\n%s", text)
	}
}

func TestTheBlockIsThereDuringABuildAndGoneAfterIt(t *testing.T) {
	node1, _, _ := three(t)
	const n = 40
	for name, size := range map[string][2]int{"small": {80, 24}, "large": {200, 50}} {
		t.Run(name, func(t *testing.T) {
			dir := held(t, n)
			x := seat(t, node1, dir, size[0], size[1])
			x.types("mpmake; echo ov''er $?")
			x.shows(" 12 running")
			lines := strings.Split(strings.TrimRight(x.run("capture-pane", "-p"), "\n"), "\n")
			if at := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "mpmake: 0 done, 12 running") }); at < 0 || len(lines) != size[1] {
				t.Errorf("it shows\n%s", strings.Join(lines, "\n"))
			} else if block := strings.Join(lines[at:], "\n"); !strings.Contains(block, "node1 ████████████████ 4/4") || !strings.Contains(block, "node3 ████████████████ 4/4") || strings.Contains(block, "\nbegin") {
				t.Errorf("the block is\n%s", block)
			}
			write(t, filepath.Join(dir, "go"), "")
			x.over("over 0", n)
			x.shows(fmt.Sprintf("mpmake: %d commands in ", n))
		})
	}
}

func TestAStoppedBuildLeavesTheTerminalToTheShell(t *testing.T) {
	node1, _, _ := three(t)
	const n = 20
	dir := held(t, n)
	x := seat(t, node1, dir, 80, 24)
	x.types("mpmake; echo ov''er $?")
	x.shows(" 12 running")
	x.run("send-keys", "C-z")
	x.shows("Stopped")
	if screen := x.run("capture-pane", "-p"); strings.Contains(screen, "running") {
		t.Errorf("when it is stopped there is\n%s", screen)
	}
	x.types("clear; for i in $(seq 30); do echo line $i; done")
	x.shows("line 30")
	if lines := strings.Split(strings.TrimSpace(x.run("capture-pane", "-p")), "\n"); len(lines) != 24 || lines[0] != "line 8" {
		t.Errorf("the shell has not the whole terminal:\n%s", strings.Join(lines, "\n"))
	}
	x.types("fg; echo ov''er $?")
	x.shows(" 12 running")
	write(t, filepath.Join(dir, "go"), "")
	x.shows("over 0")
	if screen := x.run("capture-pane", "-p"); strings.Contains(screen, "waiting") {
		t.Errorf("in the end there is\n%s", screen)
	}
}

func TestAnInterruptedBuildLeavesNoBlock(t *testing.T) {
	node1, _, _ := three(t)
	x := seat(t, node1, held(t, 12), 80, 24)
	x.types("mpmake")
	x.shows(" 12 running")
	x.run("send-keys", "C-c")
	x.shows("Interrupt")
	x.types("seq 40")
	x.shows("40\n$")
	if lines := strings.Split(strings.TrimRight(x.run("capture-pane", "-p"), "\n"), "\n"); len(lines) != 24 || strings.Contains(strings.Join(lines, "\n"), "running") {
		t.Errorf("in the end there is\n%s", strings.Join(lines, "\n"))
	}
}

// The region stayed on the terminal, whose last rows then nobody could use.
func TestABuildThatIsKilledLeavesNoBlock(t *testing.T) {
	node1, _, _ := three(t)
	dir := held(t, 12)
	x := seat(t, node1, dir, 80, 24)
	x.types("sh -c 'echo $$ >pid; exec mpmake'")
	x.shows(" 12 running")
	node1.Command("sh", "-c", "kill -9 $(cat "+filepath.Join(dir, "pid")+")").Run()
	x.shows("Killed")
	x.types("clear; seq 40")
	x.shows("40\n$")
	if lines := strings.Split(strings.TrimRight(x.run("capture-pane", "-p"), "\n"), "\n"); len(lines) != 24 || strings.Contains(strings.Join(lines, "\n"), "running") {
		t.Errorf("in the end there is\n%s", strings.Join(lines, "\n"))
	}
	write(t, filepath.Join(dir, "go"), "") // make lives on
	eventually(t, "the recipes have ended", func() bool { return strings.Count(strings.Join(x.history(), "\n"), "end t") == 12 })
}

func TestAQuietBuildSaysNothing(t *testing.T) {
	node1, _, _ := three(t)
	dir := project(t, 3)
	if r := mpmake(t, node1, dir, "--quiet"); r.code != 0 || r.out+r.errs != "" {
		t.Errorf("%+v", r)
	}
	if r := mprun(t, node1, project(t, 3), "--quiet", "make", "-j3"); r.code != 0 || r.out+r.errs != "" {
		t.Errorf("%+v", r)
	}
	cmd := node1.Command("mpmake", "-B")
	cmd.Dir, cmd.Env = dir, append(cmd.Env, "MEXEC_QUIET=1")
	if r := run(t, cmd); r.code != 0 || r.out+r.errs != "" {
		t.Errorf("%+v", r)
	}
}

// The files tell of nested makes too, whichever way they were asked for, and are written by the outermost alone.
func TestAReportAndATraceTellOfAllCommandsOfABuild(t *testing.T) {
	node1, _, _ := three(t)
	for name, give := range map[string]func(cmd *exec.Cmd){
		"by options":   func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "--report=r.html", "--trace=t.json") },
		"by variables": func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "MEXEC_REPORT=r.html", "MEXEC_TRACE=t.json") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := project(t, 12, "all: sub", "sub:\n\tmpmake -C $@\n.PHONY: sub")
			os.Mkdir(filepath.Join(dir, "sub"), 0o755)
			write(t, filepath.Join(dir, "sub", "Makefile"), "all: x y\nx y:\n\t"+strings.ReplaceAll(noted, "log", "../log")+"\n")
			cmd := node1.Command("mpmake")
			cmd.Dir = dir
			give(cmd)
			r := run(t, cmd)
			if r.code != 0 || strings.Count(r.errs, "mpmake:") != 1 {
				t.Fatalf("%+v", r)
			}
			if in, _ := filepath.Glob(filepath.Join(dir, "sub", "*.*")); len(in) > 0 {
				t.Errorf("the nested one has written %q", in)
			}
			var trace struct {
				TraceEvents []struct {
					Ph, Cat string
					Pid     int
					Args    struct{ Name, Command, Status string }
				}
			}
			if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "t.json"))), &trace); err != nil {
				t.Fatal(err)
			}
			began, _ := overlap(t, dir)
			nodes, ran := map[int]string{}, map[string]int{}
			for _, e := range trace.TraceEvents {
				if e.Ph == "M" && e.Args.Name != "" {
					nodes[e.Pid] = e.Args.Name
				}
			}
			for _, e := range trace.TraceEvents {
				if e.Ph == "X" && e.Cat == "placed" {
					ran[nodes[e.Pid]]++
					if !strings.Contains(e.Args.Command, "hostname") || e.Args.Status != "exit status 0" {
						t.Errorf("there is %+v", e)
					}
				}
			}
			if fmt.Sprint(ran) != fmt.Sprint(began) || began["node1"]+began["node2"]+began["node3"] != 14 {
				t.Errorf("the trace has %v, and they ran on %v", ran, began)
			}
			if page := read(t, filepath.Join(dir, "r.html")); strings.Count(page, `"c":"/bin/sh -c `) < 14 || !strings.Contains(page, `"name":"node3"`) {
				t.Errorf("the page has %d bytes: %.300s", len(page), page)
			}
		})
	}
}

func TestAReportThatCannotBeWrittenIsAnErrorBeforeTheBuild(t *testing.T) {
	node1, _, _ := three(t)
	dir := project(t, 1)
	if r := mpmake(t, node1, dir, "--report=no/such/place.html"); r.code != 2 || r.errs != "mpmake: open no/such/place.html: no such file or directory\n" {
		t.Errorf("%+v", r)
	}
	if r := mprun(t, node1, dir, "--trace", dir, "make"); r.code != 125 || !strings.Contains(r.errs, "is a directory") {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(dir, "log")); err == nil {
		t.Error("the build ran")
	}
}
