package system_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec/test/hosts"
	"mexec/test/tools"
)

// underWay counts the commands of a build that are under way, those that wait for a slot included: the children of the driver, whose directory is the
// project's.
func underWay(driver, dir string) (n int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	parents, drivers := map[string]string{}, map[string]bool{}
	for _, path := range stats {
		proc := filepath.Dir(path)
		if cwd, err := os.Readlink(proc + "/cwd"); err != nil || cwd != dir {
			continue
		}
		b, _ := os.ReadFile(path)
		name, rest, ok := bytes.Cut(b, []byte(") "))
		if f := bytes.Fields(rest); ok && len(f) > 1 {
			pid := filepath.Base(proc)
			parents[pid] = string(f[1])
			_, name, _ := bytes.Cut(name, []byte("("))
			drivers[pid] = string(name) == driver
		}
	}
	for _, parent := range parents {
		if drivers[parent] {
			n++
		}
	}
	return n
}

// running reads a log of noted recipes: how many run on each node now.
func running(dir string) (now map[string]int, all int) {
	b, _ := os.ReadFile(filepath.Join(dir, "log"))
	now = map[string]int{}
	for line := range strings.Lines(string(b)) {
		switch what, node, _ := strings.Cut(strings.TrimSpace(line), " "); what {
		case "+":
			now[node]++
			all++
		case "-":
			now[node]--
			all--
		}
	}
	return now, all
}

// started is a build that runs on. Its end is waited for.
func started(t *testing.T, cmd *exec.Cmd, dir string) (errs *bytes.Buffer, wait func() int) {
	t.Helper()
	errs = &bytes.Buffer{}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, nil, errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	wait = func() int {
		once.Do(func() { cmd.Wait() })
		return cmd.ProcessState.ExitCode()
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		wait()
	})
	return errs, wait
}

// tokensHome fails the test unless the build has ended well and each token was back.
func tokensHome(t *testing.T, code int, errs string) {
	t.Helper()
	if code != 0 || !strings.Contains(errs, "jobserver: 0 tokens missing\n") || strings.Contains(errs, "warning") || strings.Contains(errs, "INTERNAL") {
		t.Errorf("status %d, said %q", code, errs)
	}
}

const debug = "MEXEC_DEBUG=1"

// A build begins on two nodes, two others join, two go again.
func TestTokensFollowNodesThatComeAndGo(t *testing.T) {
	needRoot(t)
	hs := hosts.Test(t, hosts.Config{N: 4, Slots: 2, Flags: []string{"--debug"}, Bin: bin})
	if err := hs.WaitUp(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	const n = 4000 // more than there is time for; the test stops it
	text := fmt.Sprintf("all: $(foreach i,$(shell seq %d),t$i)\nt%%:\n\t@[ ! -e stop ] || exit 0; read node </proc/sys/kernel/hostname; "+
		"echo \"+ $$node\" >>log; sleep 0.1; echo \"- $$node\" >>log\n", n)
	for name, tool := range map[string][]string{
		"make with a pipe": {"mpmake", "make"}, "make with a fifo": {"mpmake", "make-4.4.1"}, "ninja": {"mprun", "ninja-1.13"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, h := range hs.All[2:] {
				if h.Daemon() != 0 {
					if err := h.KillDaemon(syscall.SIGTERM); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := hs.WaitUp(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			cmd, driver := hs.All[0].Command(tool[0], "-k"), "make"
			switch {
			case tool[0] == "mprun":
				if err := os.Symlink(toolPath(t, tool[1]), filepath.Join(dir, "ninja")); err != nil {
					t.Fatal(err)
				}
				var rules strings.Builder
				rules.WriteString("rule r\n  command = [ ! -e stop ] || exit 0; read node </proc/sys/kernel/hostname; echo \"+ $$node\" >>log; sleep 0.1; echo \"- $$node\" >>log; : $out\n")
				for i := range n {
					fmt.Fprintf(&rules, "build t%d: r\n", i)
				}
				write(t, filepath.Join(dir, "build.ninja"), rules.String())
				cmd, driver = hs.All[0].Command("mprun", filepath.Join(dir, "ninja"), "-k0"), "ninja"
			case tool[1] != "make":
				cmd.Env, driver = append(cmd.Env, "MEXEC_MAKE="+toolPath(t, tool[1])), "make-4.4.1"
			}
			cmd.Env = append(cmd.Env, debug)
			write(t, filepath.Join(dir, "Makefile"), text)
			errs, wait := started(t, cmd, dir)

			// The most that run on each node, over a while that begins with `begin` under way.
			sample := func(what string, begin func(tokens int) bool, nodes int) {
				t.Helper()
				eventually(t, what, func() bool { return begin(underWay(driver, dir)) })
				most, all, waiting := map[string]int{}, 0, 0
				for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
					now, sum := running(dir)
					for node, k := range now {
						if node == "node1" || node == "node2" || nodes > 2 { // what was lost with its node has not said its end
							most[node] = max(most[node], k)
						}
					}
					all, waiting = max(all, sum), max(waiting, underWay(driver, dir))
				}
				t.Logf("%s: at most %v at once, %d under way", what, most, waiting)
				total := 0
				for node, k := range most {
					if total += k; k > 2 {
						t.Errorf("%s: %d at once on %s", what, k, node)
					}
				}
				if nodes > 2 && len(most) != nodes || total < nodes || waiting > 2*nodes+1+nodes/2 {
					t.Errorf("%s: at most %v at once, %d under way", what, most, waiting)
				}
			}
			sample("two nodes", func(n int) bool { return n >= 4 }, 2)
			for _, h := range hs.All[2:] {
				if err := h.StartDaemon(); err != nil {
					t.Fatal(err)
				}
			}
			sample("four nodes", func(n int) bool { return n >= 8 }, 4)
			for _, h := range hs.All[2:] {
				if err := h.KillDaemon(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
			low := 0 // looks in a row: what is too many goes as recipes end
			sample("two are gone", func(n int) bool {
				if low++; n > 7 {
					low = 0
				}
				return low > 20
			}, 2)
			write(t, filepath.Join(dir, "stop"), "")
			wait() // make fails, for some jobs were lost with their nodes
			if !strings.Contains(errs.String(), "jobserver: 0 tokens missing\n") {
				t.Errorf("said %q", errs)
			}
		})
	}
}

func toolPath(t *testing.T, name string) string {
	if name == "make" {
		return name
	}
	return tools.Path(t, name)
}

func TestANumberOfJobsIsALimit(t *testing.T) {
	node1, _, _ := three(t)
	for name, command := range makes(t) {
		for _, args := range [][]string{{"-j3"}, {"-sj", "3"}, {"--jobs=3"}} {
			dir := project(t, 12, "told:\n\t@echo \"$$MAKEFLAGS\"")
			run := func(args ...string) result {
				cmd := node1.Command("mpmake", append(command[1:], args...)...)
				cmd.Dir, cmd.Env = dir, append(cmd.Env, "MEXEC_MAKE="+command[0], debug)
				return run(t, cmd)
			}
			r := run(args...)
			tokensHome(t, r.code, r.errs)
			if _, most := mostAtOnce(t, dir); most != 3 {
				t.Errorf("%s %q: %d at once", name, args, most)
			}
			if r := run(append(args, "told")...); !strings.Contains(r.out, " -j3 --jobserver-auth=") {
				t.Errorf("%s %q: recipes are told %q", name, args, r.out)
			}
		}
	}
}

// Whoever says how many is make's to understand; the stock make is the reference.
func TestMakesOptionsMeanWhatTheyMean(t *testing.T) {
	node1, _, _ := three(t)
	const makefile = `
all: a b c d
a b c: ; @echo $@
d: ; @echo $@; false
serial: x y z
x y z: ; @echo $@ >>order; sleep 0.0$(words $(filter-out $@,x y z)); echo $@ >>order
include made.mk
made.mk: ; @echo 'made: ; @echo $$(MAKE_RESTARTS)' >$@
`
	for name, command := range makes(t) {
		for _, args := range []string{
			"-n", "-q", "-t", "-i", "-k", "-s", "-B", "-Otarget", "-Oline", "-Orecurse", "-j1", "-j", "-kj", "--trace -j4", "-j0", "-jx", "-n -j9", "made", "-j2 made",
			"-f no.mk", "--version", "-k -O -j3", "-p -f /dev/null -q",
		} {
			var results []result
			for _, program := range []string{command[0], "mpmake"} {
				dir := t.TempDir()
				write(t, filepath.Join(dir, "Makefile"), makefile)
				cmd := node1.Command(program, append(command[1:], strings.Fields(args)...)...)
				cmd.Dir, cmd.Env = dir, append(cmd.Env, "MEXEC_MAKE="+command[0])
				r := run(t, cmd)
				r.errs = lastLine.ReplaceAllString(r.errs, "")
				// Whether others still run when one fails is a matter of moments.
				r.errs = strings.ReplaceAll(r.errs, filepath.Base(command[0])+": *** Waiting for unfinished jobs....\n", "")
				if strings.Contains(args, "-p") { // a database with dates and numbers
					r.out = ""
				}
				r.out, r.errs = sorted(r.out), sorted(r.errs)
				results = append(results, r)
			}
			if results[0] != results[1] {
				t.Errorf("%s %s:\nmake   %+v\nmpmake %+v", name, args, results[0], results[1])
			}
		}
		for _, serial := range []string{".NOTPARALLEL:\n", "MAKEFLAGS += -j1\n"} {
			dir := project(t, 6, serial)
			cmd := node1.Command("mpmake", command[1:]...)
			cmd.Dir, cmd.Env = dir, append(cmd.Env, "MEXEC_MAKE="+command[0])
			if r := run(t, cmd); r.code != 0 {
				t.Errorf("%+v", r)
			}
			if _, most := mostAtOnce(t, dir); most != 1 {
				t.Errorf("%s with %q: %d at once", name, serial, most)
			}
		}
	}
}

// The order of parallel recipes is nobody's promise.
func sorted(s string) string {
	lines := strings.SplitAfter(s, "\n")
	for i := range lines {
		for k := i; k > 0 && lines[k] < lines[k-1]; k-- {
			lines[k], lines[k-1] = lines[k-1], lines[k]
		}
	}
	return strings.Join(lines, "")
}

// Nested makes, each with recipes enough for all, share the one jobserver, and none takes its number for its own.
func TestNestedMakesShareTheClustersTokens(t *testing.T) {
	node1, _, _ := three(t)
	for name, command := range makes(t) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "Makefile"), "all: a b c\na b c:\n\t+@$(MAKE) --no-print-directory -f leaf.mk T=$@\n")
		leaves(t, filepath.Join(dir, "leaf.mk"), 20)
		cmd := node1.Command("mpmake", command[1:]...)
		cmd.Dir, cmd.Env = dir, append(cmd.Env, "MEXEC_MAKE="+command[0], debug)
		r := run(t, cmd)
		tokensHome(t, r.code, r.errs)
		began, most := mostAtOnce(t, dir)
		if len(began) != 3 || most > 12 || most < 6 {
			t.Errorf("%s: %v, %d at once", name, began, most)
		}
	}
}

// A nested make that is killed takes its tokens along. The build gets new ones for all but one of them, as drive/elastic.go says.
func TestTokensOfAKilledMakeAreReplaced(t *testing.T) {
	node1, _, _ := three(t)
	for name, command := range makes(t) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "Makefile"), "all: nested others\nnested:\n\t-+@echo $$$$ >pid; exec $(MAKE) --no-print-directory -f leaf.mk T=$@\n"+
			"others: $(foreach i,$(shell seq 100),r$i)\nr%: nested ; @sleep 0.2; echo >>done\n")
		write(t, filepath.Join(dir, "leaf.mk"), "all: $(foreach i,$(shell seq 16),l$i)\nl%: ; @: >>begun; echo >>begun; sleep 3\n")
		cmd := node1.Command("mpmake", append(command[1:], "-j8", "-k")...)
		cmd.Env = append(cmd.Env, "MEXEC_MAKE="+command[0], debug)
		errs, wait := started(t, cmd, dir)
		lines := func(file string) int {
			b, _ := os.ReadFile(filepath.Join(dir, file))
			return bytes.Count(b, []byte("\n"))
		}
		eventually(t, "the nested make has all tokens", func() bool { return lines("begun") >= 8 })
		b, _ := os.ReadFile(filepath.Join(dir, "pid"))
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		unix.Kill(pid, unix.SIGKILL)
		eventually(t, "as many recipes as before are under way", func() bool {
			n := underWay(filepath.Base(command[0]), dir)
			return lines("done") > 0 && n >= 7
		})
		if wait() != 0 || !strings.Contains(errs.String(), "jobserver: 0 tokens missing") && !strings.Contains(errs.String(), "jobserver: 1 tokens missing") {
			t.Errorf("%s: said %q", name, errs)
		}
		if n := lines("done"); n != 100 {
			t.Errorf("%s: %d recipes of 100", name, n)
		}
	}
}
