package system_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a program sees of its caller on another node, and what it hears from it. The reference is always the same command without
// mexec in front.

// start starts a command of a host with its output in a pipe that is read line by line.
func start(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return bufio.NewReader(out)
}

func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("output ends with %q: %v", s, err)
	}
	return strings.TrimSuffix(s, "\n")
}

// state is the letter that proc(5) gives for a process, 0 where there is none or only init's wait for it is missing.
func state(pid string) byte {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if _, rest, ok := bytes.Cut(b, []byte(") ")); err == nil && ok && rest[0] != 'Z' {
		return rest[0]
	}
	return 0
}

func TestEverySignalReachesTheRemoteTrap(t *testing.T) {
	node1, _, _ := three(t)
	signals := map[string]syscall.Signal{
		"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "USR1": syscall.SIGUSR1,
		"USR2": syscall.SIGUSR2, "WINCH": syscall.SIGWINCH, "ALRM": syscall.SIGALRM, "TERM": syscall.SIGTERM,
	}
	script := ""
	for name := range signals {
		script += fmt.Sprintf("trap 'echo %s' %s\n", name, name)
	}
	script += "trap 'echo RT; exit 9' 40\necho ready\nwhile :; do sleep 0.01; done"
	cmd := node1.Command("mexec", "-n", "2", "bash", "-c", script)
	r := start(t, cmd)
	line(t, r)
	for name, sig := range signals {
		cmd.Process.Signal(sig)
		if got := line(t, r); got != name {
			t.Errorf("%s came as %s", name, got)
		}
	}
	cmd.Process.Signal(syscall.Signal(40)) // a real-time signal
	if got := line(t, r); got != "RT" {
		t.Errorf("signal 40 came as %s", got)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 9 {
		t.Errorf("exit status %d", code)
	}
}

func TestTheStubDiesOfTheSignalThatTheProgramDiedOf(t *testing.T) {
	node1, _, _ := three(t)
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGPIPE, 40} {
		if r := run(t, sh(node1, "exec mexec -n 2 sh -c 'kill -$0 $$' "+fmt.Sprint(int(sig)))); r.signal != sig || r.errs != "" {
			t.Errorf("%v: %+v", sig, r)
		}
	}
	for _, code := range []int{0, 1, 125, 126, 127, 128 + 9, 255} {
		if r := run(t, node1.Command("mexec", "-n", "2", "sh", "-c", fmt.Sprint("exit ", code))); r.code != code || r.errs != "" {
			t.Errorf("%d: %+v", code, r)
		}
	}
}

func TestAKillWithTSTPStopsStubAndProgramAndCONTContinuesThem(t *testing.T) {
	node1, _, _ := three(t)
	cmd := node1.Command("mexec", "-n", "2", "sh", "-c", "echo $$; while :; do sleep 0.01; done")
	// A group of its own, as a shell makes it: where all of CI is one group that is orphaned, the kernel lets nothing in it stop.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r := start(t, cmd)
	stub, program := fmt.Sprint(cmd.Process.Pid), line(t, r)
	for range 3 {
		cmd.Process.Signal(syscall.SIGTSTP)
		eventually(t, "both are stopped", func() bool { return state(stub) == 'T' && state(program) == 'T' })
		cmd.Process.Signal(syscall.SIGCONT)
		eventually(t, "both go on", func() bool { return state(stub) != 'T' && state(program) != 'T' })
	}
	// A program that stops itself stops its stub too: the caller's shell sees what it would have seen.
	syscall.Kill(atoi(t, program), syscall.SIGSTOP)
	eventually(t, "the stub stops too", func() bool { return state(stub) == 'T' })
	cmd.Process.Signal(syscall.SIGCONT)
	eventually(t, "both go on", func() bool { return state(stub) != 'T' && state(program) != 'T' })
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if sig := ended(cmd.ProcessState); sig != syscall.SIGTERM {
		t.Error(cmd.ProcessState)
	}
}

// Its CONT came to the main process alone.
func TestAProgramThatStopsItsWholeGroupWithoutATerminalIsContinuedAsAWhole(t *testing.T) {
	node1, _, _ := three(t)
	cmd := node1.Command("mexec", "-n", "2", "sh", "-c", "sleep 600 & echo $$ $!; kill -TSTP 0; wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r := start(t, cmd)
	pids := append(strings.Fields(line(t, r)), fmt.Sprint(cmd.Process.Pid))
	all := func(is func(byte) bool) func() bool {
		return func() bool { return !slices.ContainsFunc(pids, func(pid string) bool { return !is(state(pid)) }) }
	}
	eventually(t, "all are stopped", all(func(s byte) bool { return s == 'T' }))
	syscall.Kill(-cmd.Process.Pid, syscall.SIGCONT) // as a shell's fg
	eventually(t, "all go on", all(func(s byte) bool { return s == 'S' }))
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if sig := ended(cmd.ProcessState); sig != syscall.SIGTERM {
		t.Error(cmd.ProcessState)
	}
}

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return n
}

// terminal starts a command as the leader of a session on a new terminal, and gives what the person holds.
func terminal(t *testing.T, cmd *exec.Cmd) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { master.Close() })
	unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() }) // the kernel hangs the terminal up then
	t.Cleanup(func() {
		late.Stop()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return master
}

// until reads from a terminal what comes up to a word, and the rest of its line.
func until(t *testing.T, r *bufio.Reader, word string) string {
	t.Helper()
	for {
		s, err := r.ReadString('\n')
		if strings.Contains(s, word) {
			return strings.TrimRight(s, "\r\n")
		}
		if err != nil {
			t.Fatalf("the terminal ends before %q: %v", word, err)
		}
	}
}

func TestCtrlZStopsTheWholeRemoteTreeAndFgContinuesIt(t *testing.T) {
	node1, _, _ := three(t)
	// The shell stays until it is told: at its end it would end its stopped jobs.
	cmd := node1.Command("bash", "-mc", `mexec -n 2 sh -c "$0"; echo stopped $?; fg; echo again $?; echo stub $(jobs -p); read x`,
		"sleep 600 & echo pids $$ $!; wait")
	master := terminal(t, cmd)
	r := bufio.NewReader(master)
	pids := strings.Fields(until(t, r, "pids"))[1:]
	for _, want := range []string{"stopped 148", "again 148"} { // 128 + SIGTSTP
		master.Write([]byte{'Z' - '@'})
		word, _, _ := strings.Cut(want, " ")
		if got := until(t, r, word); !strings.HasSuffix(got, want) {
			t.Error(got)
		}
		if word == "stopped" {
			for _, pid := range pids {
				eventually(t, "fg continues the tree", func() bool { return state(pid) == 'S' })
			}
		}
	}
	for _, pid := range pids {
		eventually(t, "the tree stops again", func() bool { return state(pid) == 'T' })
	}
	_, stub, _ := strings.Cut(until(t, r, "stub"), " ")
	syscall.Kill(atoi(t, stub), syscall.SIGKILL)
	for _, pid := range pids {
		eventually(t, "a stopped tree is gone when its stub is killed", func() bool { return state(pid) == 0 })
	}
}

func TestCtrlCEndsTheWholeRemoteTreeAndTheCallerSeesIt(t *testing.T) {
	node1, _, _ := three(t)
	cmd := node1.Command("mexec", "-n", "2", "sh", "-c", "sleep 600 & echo pids $$ $!; wait")
	master := terminal(t, cmd)
	pids := strings.Fields(until(t, bufio.NewReader(master), "pids"))[1:]
	master.Write([]byte{'C' - '@'})
	cmd.Wait()
	if sig := ended(cmd.ProcessState); sig != syscall.SIGINT {
		t.Error(cmd.ProcessState)
	}
	for _, pid := range pids {
		eventually(t, "the tree is gone", func() bool { return state(pid) == 0 })
	}
}

// attributes is all of proc(5)'s status that execve hands on.
const attributes = `grep -E '^(Umask|Uid|Gid|Groups|SigBlk|SigIgn|SigCgt|NoNewPrivs|CapInh|CapPrm|CapEff|CapBnd|CapAmb|Seccomp):' /proc/self/status
cat /proc/self/limits; nice; pwd; id`

func TestARemoteProgramSeesTheAttributesOfItsCaller(t *testing.T) {
	node1, _, _ := three(t)
	deep := filepath.Join(trio.hs.Dir, "work", "a directory\nof two lines \xff")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, setup := range map[string]string{
		"plain":           `exec "$@"`,
		"umask":           `umask 0137; exec "$@"`,
		"limits":          `ulimit -Sn 99; ulimit -Hn 100; ulimit -c 0; ulimit -s 4096; ulimit -t 77; exec "$@"`,
		"nice":            `exec nice -n 7 "$@"`,
		"ignored":         `trap '' HUP USR1 PIPE CHLD; exec "$@"`,
		"blocked":         `exec env --block-signal=USR1,TERM,CHLD,RTMAX "$@"`,
		"all default":     `exec env --default-signal "$@"`,
		"a user":          `exec setpriv --reuid 1000 --regid 1000 --groups 4,24,1000,4000000000 "$@"`,
		"no groups":       `exec setpriv --reuid 1000 --regid 1001 --clear-groups "$@"`,
		"no new privs":    `exec setpriv --no-new-privs "$@"`,
		"all of it":       `umask 0; ulimit -n 64; trap '' QUIT; exec nice -n 3 setpriv --reuid 65534 --regid 7 --groups 9 env --block-signal=WINCH "$@"`,
		"root, few group": `exec setpriv --regid 5 --groups 6 "$@"`,
	} {
		t.Run(name, func(t *testing.T) {
			cmd := sh(node1, setup, "sh", "-c", attributes)
			cmd.Dir = deep
			want := run(t, cmd)
			cmd = sh(node1, setup, "mexec", "-n", "2", "sh", "-c", "uname -n >&2;"+attributes)
			cmd.Dir = deep
			got := run(t, cmd)
			if got.errs != "node2\n" {
				t.Fatalf("ran elsewhere: %q", got.errs)
			}
			if want.code != 0 || got.out != want.out {
				t.Errorf("there:\n%s\nhere:\n%s%s", got.out, want.out, want.errs)
			}
		})
	}
}

func TestArgumentsAndEnvironmentArriveToTheByte(t *testing.T) {
	node1, _, _ := three(t)
	// A shell would drop odd names, so env(1) makes them.
	odd := []string{"env", "-i", "PATH=/usr/bin:/bin:" + os.Getenv("PATH"), "A=\xff\xfe\n\t", "EMPTY=", "=nothing", "x.y=dot", "A b=c", "LONG=" + strings.Repeat("z", 100<<10)}
	show := []string{"-a", "odd \xff name", "cat", "/proc/self/environ", "/proc/self/cmdline"}
	reference := run(t, node1.Command("bash", append([]string{"-c", `exec -a "$0" "$@"`, show[1]}, append(odd[:0:0], "cat", "/proc/self/environ", "/proc/self/cmdline")...)...))
	if reference.code != 0 {
		t.Fatal(reference)
	}
	mexec, err := node1.Command("sh", "-c", "command -v mexec").Output()
	if err != nil {
		t.Fatal(err)
	}
	stub := strings.TrimSpace(string(mexec))
	here := run(t, node1.Command(odd[0], append(odd[1:], append([]string{stub, "-n", "1"}, show...)...)...))
	there := run(t, node1.Command(odd[0], append(odd[1:], append([]string{stub, "-v", "-n", "2"}, show...)...)...))
	if !strings.HasPrefix(there.errs, "mexec: node2: ") {
		t.Fatalf("ran elsewhere: %q", there.errs)
	}
	if here.code != 0 || there.out != here.out || !strings.Contains(there.out, "=nothing\x00") {
		t.Errorf("there: %.300q…\nhere:  %.300q…", there.out, here.out)
	}
	if _, cmdline, _ := strings.Cut(reference.out, "odd \xff name"); !strings.HasSuffix(there.out, "\x00odd \xff name"+cmdline) {
		t.Errorf("arguments: %.300q", there.out[max(0, len(there.out)-300):])
	}
	// Empty arguments, and one of the kernel's greatest length.
	long := strings.Repeat("l", 128<<10-1)
	want := run(t, node1.Command("sh", "-c", `printf '%s|' "$@" | md5sum; exit $#`, "", "", "-n", "--", long, ""))
	if got := run(t, node1.Command("mexec", "-n", "2", "sh", "-c", `printf '%s|' "$@" | md5sum; exit $#`, "", "", "-n", "--", long, "")); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestAnUnknownOptionIsAnErrorAndNothingRuns(t *testing.T) {
	node1, _, _ := three(t)
	file := filepath.Join(t.TempDir(), "made")
	for _, option := range []string{"--frobnicate", "-x", "-vx", "--nodes=2", "-", "--no-stdinx"} {
		r := run(t, node1.Command("mexec", option, "touch", file))
		if option == "-" { // a command of that name, as for env(1)
			if r.code != 127 {
				t.Errorf("%s: %+v", option, r)
			}
			continue
		}
		if r.code != 2 || r.out != "" || !strings.HasPrefix(r.errs, "mexec: unknown option ") || strings.Count(r.errs, "\n") != 1 {
			t.Errorf("%s: %+v", option, r)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the command ran")
	}
	// An option behind the command is the command's, whatever it looks like.
	if r := run(t, node1.Command("mexec", "-n", "2", "echo", "-n", "3", "--no-stdin")); r.out != "3 --no-stdin" {
		t.Errorf("%+v", r)
	}
}

func TestTheOptionOverridesTheVariableNodes(t *testing.T) {
	node1, _, _ := three(t)
	for wish, want := range map[string]string{"2": "node2", "node[2-9]": "", "1": "node1", "node3": "node3", " 3 ,": "node3"} {
		r := run(t, sh(node1, `NODES=1 exec mexec -n "$1" uname -n`, wish))
		if got := strings.TrimSpace(r.out); got != want && !(want == "" && (got == "node2" || got == "node3")) {
			t.Errorf("-n %q: %+v", wish, r)
		}
	}
	if r := run(t, sh(node1, "NODES=3 exec mexec uname -n")); r.out != "node3\n" {
		t.Errorf("NODES=3: %+v", r)
	}
}

func TestVerboseSpeaksOnStderrOnly(t *testing.T) {
	node1, _, _ := three(t)
	for node, want := range map[string]string{"2": "mexec: node2: ", "1": "mexec: here: "} {
		r := run(t, node1.Command("mexec", "-v", "-n", node, "echo", "out"))
		if r.out != "out\n" || !strings.HasPrefix(r.errs, want) || strings.Count(r.errs, "\n") != 1 {
			t.Errorf("on %s: %+v", node, r)
		}
		if r := run(t, node1.Command("mexec", "-n", node, "echo", "out")); r.errs != "" {
			t.Errorf("on %s, and nobody asked: %+v", node, r)
		}
	}
}

func TestTheDaemonShowsWhatItRunsAndTheClusterWhoIsThere(t *testing.T) {
	node1, node2, node3 := three(t)
	since := len(node2.Log())
	run(t, node1.Command("mexec", "-n", "2", "sh", "-c", "exit 42", "marker"))
	says(t, node2, since, "job of node1: sh -c exit 42 marker", "exit status 42")

	table := func() map[string][]string {
		rows := map[string][]string{}
		for l := range strings.Lines(run(t, node1.Command("mexecctl", "nodes")).out) {
			f := strings.Fields(l)
			rows[f[1]] = f
		}
		return rows
	}
	rows := table()
	if got := strings.Join(rows["NAME"], " "); got != "NO NAME ADDRESS STATE SLOTS BUSY LOAD FREE CLOCK VERSION WHY" {
		t.Error(got)
	}
	want := map[string]string{"node1": "1 node1 10.77.0.1:7733 self 4", "node2": "2 node2 10.77.0.2:7733 up 4", "node3": "3 node3 10.77.0.3:7733 up 4"}
	for name, begin := range want {
		if got := strings.Join(rows[name], " "); !strings.HasPrefix(got, begin) || !strings.Contains(got, " 0.1.0") {
			t.Errorf("%s: %q", name, got)
		}
	}
	eventually(t, "the clock of node2 is measured", func() bool { return strings.HasSuffix(table()["node2"][8], "ms") })

	killDaemon(t, node3)
	eventually(t, "node3 is down", func() bool { return table()["node3"][3] == "down" })
	if row := strings.Join(table()["node3"], " "); len(strings.Fields(row)) < 11 {
		t.Errorf("down without a reason: %q", row)
	}
	if err := node3.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "node3 is up again", func() bool { return table()["node3"][3] == "up" })
	if err := trio.hs.WaitUp(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if r := run(t, node1.Command("mexec", "-n", "3", "uname", "-n")); r.out != "node3\n" {
		t.Errorf("after its return: %+v", r)
	}
}

func TestTheVerboseLineComesBeforeWhatTheProgramSays(t *testing.T) {
	node1, _, _ := three(t)
	script := `for i in 1 2 3 4 5 6 7 8; do { for j in 1 2 3 4 5; do mexec -v -n 2 sh -c 'echo program >&2' 2>&1 | head -n1; done; } & done; wait`
	r := run(t, sh(node1, script))
	if n := strings.Count(r.out, "mexec: node2: "); n != 40 || strings.Contains(r.out, "program") {
		t.Errorf("%d of 40: %+v", n, r)
	}
}
