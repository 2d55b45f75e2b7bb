package trace

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mexec/internal/policy"
)

// stub notes what it is given, one line for each, and executes it.
const stub = `#!/bin/bash
[ "$1" = -p ] || exit 99
shift
name=
if [ "$1" = -a ]; then name=$2; shift 2; fi
[ "$1" = -- ] || exit 98
shift
path=$1
shift
printf '%s\n' "$path${name:+ as $name}: $*" >>"$NOTES"
exec -a "${name:-$path}" "$path" "$@"
`

type bench struct {
	dir  string
	stub string
}

func newBench(t *testing.T) bench {
	t.Helper()
	b := bench{dir: t.TempDir()}
	b.stub = b.file(t, "mexec", stub)
	return b
}

func (b bench) file(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(b.dir, name)
	if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// goTool is testdata/tool.
var goTool = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "trace")
	if err != nil {
		return "", err
	}
	tool := filepath.Join(dir, "tool")
	cmd := exec.Command("go", "build", "-o", tool, "./testdata/tool")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %s", err, out)
	}
	return tool, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if tool, err := goTool(); err == nil {
		os.RemoveAll(filepath.Dir(tool))
	}
	os.Exit(code)
}

func tool(t *testing.T) string {
	t.Helper()
	tool, err := goTool()
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

// busybox is a static shell, from the package busybox-static.
func busybox(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Skipf("no static shell: %v", err)
	}
	return path
}

type end struct {
	out, notes string
	status     syscall.WaitStatus
}

func (e end) noted() []string {
	if e.notes == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(e.notes, "\n"), "\n")
}

func (b bench) command(t *testing.T, path string, args ...string) *exec.Cmd {
	t.Helper()
	out, err := os.OpenFile(filepath.Join(b.dir, "out"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	cmd := exec.Command(path, args...)
	cmd.Dir = b.dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "NOTES="+filepath.Join(b.dir, "notes"))
	return cmd
}

func (b bench) start(t *testing.T, cmd *exec.Cmd) *Tool {
	t.Helper()
	tool, err := Start(cmd, Driver{Rules: policy.Own(), Stub: b.stub})
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

func (b bench) wait(t *testing.T, cmd *exec.Cmd, tool *Tool) end {
	t.Helper()
	late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	status, err := tool.Wait()
	if !late.Stop() || err != nil {
		t.Fatalf("%v: %v, %v", cmd.Args, status, err)
	}
	out, _ := os.ReadFile(filepath.Join(b.dir, "out"))
	notes, _ := os.ReadFile(filepath.Join(b.dir, "notes"))
	return end{string(out), string(notes), status}
}

func (b bench) run(t *testing.T, path string, args ...string) end {
	t.Helper()
	cmd := b.command(t, path, args...)
	return b.wait(t, cmd, b.start(t, cmd))
}

func TestWhatAStaticToolStartsGetsTheStubAndEndsAsEver(t *testing.T) {
	b := newBench(t)
	script := b.file(t, "script", "#! /bin/sh -e\nexit $1\n")
	got := b.run(t, tool(t), "run", "sh", "-c", "exit 7", "x", ";", script, "4", ";", "./script", "5", ";", "sh", "-c", "kill -9 $$")
	if got.out != "exit 7\nexit 4\nexit 5\nsignal killed\n" {
		t.Errorf("said %q", got.out)
	}
	want := []string{"/usr/bin/sh as sh: -c exit 7 x", script + ": 4", "./script: 5", "/usr/bin/sh as sh: -c kill -9 $$"}
	sh, _ := exec.LookPath("sh")
	for i := range want {
		want[i] = strings.Replace(want[i], "/usr/bin/sh", sh, 1)
	}
	if !slices.Equal(got.noted(), want) {
		t.Errorf("noted %q", got.noted())
	}
}

func TestWhatThePolicyKeepsIsLeftAlone(t *testing.T) {
	b := newBench(t)
	got := b.run(t, tool(t), "run", "echo", "a", ";", "sh", "-c", "echo b", ";", "make", "--version")
	if len(got.noted()) != 0 || !strings.HasPrefix(got.out, "a\nexit 0\nb\nexit 0\n") {
		t.Errorf("%+v", got)
	}
}

func TestTheKernelsOwnErrorReachesTheTool(t *testing.T) {
	b := newBench(t)
	b.file(t, "notelf", "nothing that can be executed")
	b.file(t, "orphan", "#!/nonexistent/interpreter\n")
	os.WriteFile(filepath.Join(b.dir, "plain"), []byte("#!/bin/sh\n"), 0o644)
	got := b.run(t, tool(t), "run", "/nonexistent/program", ";", "./notelf", ";", "./orphan", ";", "./plain", ";", "./script/x")
	want := "fork/exec /nonexistent/program: no such file or directory\nfork/exec ./notelf: exec format error\nfork/exec ./orphan: no such file or directory\n" +
		"fork/exec ./plain: permission denied\nfork/exec ./script/x: no such file or directory\n"
	if got.out != want || got.notes != "" {
		t.Errorf("%+v", got)
	}
}

func TestManyChildrenAtOnceFromManyThreads(t *testing.T) {
	b := newBench(t)
	got := b.run(t, tool(t), "many", "200", "bash", "-c", "exit $((${1} % 100))", "bash")
	if got.out != "" || got.status != 0 || len(got.noted()) != 200 {
		t.Errorf("%d noted, %v: %q", len(got.noted()), got.status, got.out)
	}
}

func TestAScriptOfAStaticShellIsFollowedIntoItsSubshells(t *testing.T) {
	b := newBench(t)
	b.file(t, "job", "#!/bin/sh\nexit $1\n")
	b.file(t, "all.sh", "#!"+busybox(t)+" sh\nfor i in 1 2 3 4; do ./job $i & done\n(./job 5 & wait $!; echo $?)\nx=$(./job 6; echo $?); echo $x\nwait\n./job 7 | ./job 8\necho $?\nexit 9\n")
	got := b.run(t, filepath.Join(b.dir, "all.sh"))
	noted := got.noted()
	slices.Sort(noted)
	var want []string
	for i := range 8 {
		want = append(want, fmt.Sprintf("./job: %d", i+1))
	}
	if got.out != "5\n6\n8\n" || got.status.ExitStatus() != 9 || !slices.Equal(noted, want) {
		t.Errorf("%+v", got)
	}
}

func TestWhatTheToolExecutesInItsOwnPlaceIsTheTool(t *testing.T) {
	b := newBench(t)
	got := b.run(t, tool(t), "exec", tool(t), "run", "sh", "-c", "exit 3")
	if got.out != "exit 3\n" || len(got.noted()) != 1 {
		t.Errorf("%+v", got)
	}
	b = newBench(t)
	got = b.run(t, tool(t), "exec", "/bin/sh", "-c", "/bin/sh -c 'exit 3'; exit 4") // it would have the shim
	if got.status.ExitStatus() != 4 || got.notes != "" {
		t.Errorf("%+v", got)
	}
}

func TestAStaticDriverBelowAToolIsFollowedToo(t *testing.T) {
	b := newBench(t)
	inner := b.file(t, "ninja", "")
	if err := os.Remove(inner); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(tool(t), inner); err != nil {
		t.Fatal(err)
	}
	got := b.run(t, tool(t), "run", "./ninja", "run", "sh", "-c", "exit 3", ";", "sh", "-c", "true; ./ninja run sh -c 'exit 4'")
	want := "exit 3\nexit 0\nexit 4\nexit 0\n"
	if got.out != want || len(got.noted()) != 2 {
		t.Errorf("%+v", got)
	}
}

// Where the stub is gone, the program runs as if nobody had been there.
func TestWithoutAStubTheProgramRunsItself(t *testing.T) {
	b := newBench(t)
	b.file(t, "script", "#!/bin/sh\necho $0 $#: $*\nexit 5\n")
	if err := os.Remove(b.stub); err != nil {
		t.Fatal(err)
	}
	got := b.run(t, tool(t), "run", "sh", "-c", "exit 7", ";", "./script", "a", "b c", ";", "/usr/bin/env", "true")
	if got.out != "exit 7\n./script 2: a b c\nexit 5\nexit 0\n" || got.notes != "" {
		t.Errorf("%+v", got)
	}
}

func TestArgumentsOfAnyNumberAndLengthArrive(t *testing.T) {
	b := newBench(t)
	args := []string{"run", "/usr/bin/env", "bash", "-c", `echo $# ${#1}`, "bash", strings.Repeat("x", 120<<10)}
	for range 60000 {
		args = append(args, "y")
	}
	got := b.run(t, tool(t), args...)
	if got.out != "60001 122880\nexit 0\n" || !strings.HasPrefix(got.notes, "/usr/bin/env: bash -c echo") {
		t.Errorf("said %q, noted %.50q", got.out, got.notes)
	}
}

// More addresses than the kernel leaves room for below a stack (128 KiB) end it where they begin, so that what is written below may be on a page that is not there yet.
// Sixteen arguments are 160 bytes, less than what is written: some of these begin near enough to the end of a page, wherever the first one does.
func TestAStackThatBeginsAtItsEndGrows(t *testing.T) {
	b := newBench(t)
	const times = 4096/160 + 1
	got := b.run(t, tool(t), "growing", fmt.Sprint(times), "/usr/bin/env", "true")
	if got.out != "" || len(got.noted()) != times {
		t.Errorf("said %q, %d of %d noted", got.out, len(got.noted()), times)
	}
}

func TestTheToolsOwnEndIsTold(t *testing.T) {
	b := newBench(t)
	if got := b.run(t, busybox(t), "sh", "-c", "exit 200"); got.status.ExitStatus() != 200 {
		t.Errorf("%+v", got)
	}
	if got := b.run(t, busybox(t), "sh", "-c", "kill -15 $$"); got.status.Signal() != syscall.SIGTERM {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNotThereIsAnError(t *testing.T) {
	b := newBench(t)
	cmd := b.command(t, "/nonexistent/tool")
	if _, err := Start(cmd, Driver{}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
}

// A user's tracer has no right to let a traced process gain any, so what gains some is executed again, untraced.
func TestASetUserIDProgramOfAUsersToolHasItsPrivilege(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("it takes root to make a set-user-ID program and to become somebody else")
	}
	b := newBench(t)
	root := filepath.Join(b.dir, "id")
	for _, args := range [][]string{{"cp", "/usr/bin/id", root}, {"chmod", "4755", root}, {"chmod", "-R", "a+rwX", b.dir}, {"chmod", "4755", root},
		{"chmod", "a+rx", filepath.Dir(b.dir)}, {"cp", tool(t), filepath.Join(b.dir, "tool")}, {"cp", os.Args[0], filepath.Join(b.dir, "test")}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	cmd := exec.Command(filepath.Join(b.dir, "test"), "-test.run=AsAUser")
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "TRACE_TEST_USER="+b.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "65534\nexit 0\n0\nexit 0\n") {
		t.Errorf("%v: %s", err, out)
	}
}

// It is the half of the test above that a user runs.
func TestAsAUser(t *testing.T) {
	dir := os.Getenv("TRACE_TEST_USER")
	if dir == "" {
		t.Skip("another test runs it")
	}
	stays := policy.Policy{{Verdict: policy.Stays, Pattern: "*"}}
	cmd := exec.Command(filepath.Join(dir, "tool"), "run", "id", "-u", ";", "./id", "-u")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	tool, err := Start(cmd, Driver{Rules: stays, Stub: "/nonexistent"})
	if err != nil {
		t.Fatal(err)
	}
	if status, err := tool.Wait(); err != nil || status != 0 {
		t.Errorf("%v, %v", status, err)
	}
}

// Stops, waits, signals with their values, every way to start a program, and execve by a thread that is not the first.
func TestAStaticToolSeesTheSameTracedAndAlone(t *testing.T) {
	b := newBench(t)
	semantics := filepath.Join(b.dir, "semantics")
	if out, err := exec.Command("gcc", "-static", "-pthread", "-o", semantics, "testdata/semantics.c").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	alone, err := exec.Command(semantics).Output()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 9 {
		t.Fatalf("%v: %s", err, alone)
	}
	for range 20 {
		os.Remove(filepath.Join(b.dir, "out"))
		os.Remove(filepath.Join(b.dir, "notes"))
		got := b.run(t, semantics)
		if got.out != string(alone) || got.status.ExitStatus() != 9 {
			t.Fatalf("traced, it ends with %v and says\n%s\nnot\n%s", got.status.ExitStatus(), got.out, alone)
		}
		// All but execveat, whose path is none for the stub.
		if n := len(got.noted()); n != 7 {
			t.Fatalf("%d noted: %s", n, got.notes)
		}
	}
}
