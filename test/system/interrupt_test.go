package system_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What reaches a tool when its build is told to end, and what is left then. Package stress has the same at moments that nobody chose.

// A SIGINT that was for mpmake alone was swallowed: only the terminal's was thought of.
func TestASignalForMpmakeAloneReachesMake(t *testing.T) {
	node1, _, _ := three(t)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "Makefile"), "half:\n\t@echo half >$@; exec sleep 60\n")
		cmd := node1.Command("mpmake")
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "NODES=2")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		end := background(t, cmd)
		half := filepath.Join(dir, "half")
		eventually(t, "the target is half made", func() bool { return exists(half) })
		cmd.Process.Signal(s)
		if s == syscall.SIGINT { // make relies on the terminal: its recipes get it from there, or end themselves
			eventually(t, "make deletes the target", func() bool { return !exists(half) })
			syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		}
		if s == syscall.SIGHUP {
			eventually(t, "make deletes the target", func() bool { return !exists(half) })
			syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		}
		if r := end(); r.code == 0 || exists(half) {
			t.Errorf("%v: %+v; half-made target left: %v", s, r, exists(half))
		}
	}
}

// Go ignores them, and so they were lost.
func TestASignalThatOnlyTheToolUnderstandsReachesIt(t *testing.T) {
	node1, _, _ := three(t)
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "tool.sh"), "trap 'echo heard; exit 4' USR1 USR2 ALRM\n: >up\nwhile :; do read -t 1 x; done\n")
		cmd := node1.Command("mprun", "bash", "tool.sh")
		cmd.Dir = dir
		end := up(t, cmd)
		cmd.Process.Signal(s)
		if r := end(); r.out != "heard\n" || r.code != 4 {
			t.Errorf("%v: %+v", s, r)
		}
	}
}

// up starts a tool with a stdin that says nothing, and returns when it has made the file up.
func up(t *testing.T, cmd *exec.Cmd) (end func() result) {
	t.Helper()
	quiet, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hold.Close() })
	cmd.Stdin = quiet
	end = background(t, cmd)
	quiet.Close()
	eventually(t, "the tool is up", func() bool { return exists(filepath.Join(cmd.Dir, "up")) })
	return end
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// A ninja that had heard a SIGTERM of its group got a second one from mprun, and died of that before its commands had ended.
func TestASignalForTheGroupReachesTheToolOnce(t *testing.T) {
	node1, _, _ := three(t)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "tool.sh"), "trap 'echo heard; n=5' INT TERM HUP\nn=0; : >up\nwhile [ $n -ne 5 ]; do read -t 1 x; done\n"+
			"for i in 1 2 3 4; do read -t 0.1 x; done; exit 4\n")
		cmd := node1.Command("mprun", "bash", "tool.sh")
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		end := up(t, cmd)
		syscall.Kill(-cmd.Process.Pid, s)
		if r := end(); r.out != "heard\n" || r.code != 4 {
			t.Errorf("%v: %+v", s, r)
		}
	}
}

// What recipes start and leave ends with them on other nodes. Here it lives on, as under make alone, but not when the build was interrupted.
func TestWhatABuildLeavesHereStaysOnlyWhereTheBuildEndsByItself(t *testing.T) {
	node1, _, _ := three(t)
	for _, interrupt := range []bool{false, true} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "Makefile"), "all:\n\t@trap '' HUP; (setsid sleep 60 >/dev/null 2>&1 & echo $$! >a); (trap '' INT TERM; sleep 60 >/dev/null 2>&1 & echo $$! >b)\n"+
			"\t@if [ -z \"$$WAIT\" ]; then : >up; else exec perl -e 'open F, \">up\"; sleep 60'; fi\n") // perl: see sleeper
		cmd := node1.Command("mpmake", "-s")
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "NODES=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if interrupt {
			cmd.Env = append(cmd.Env, "WAIT=yes")
		}
		end := background(t, cmd)
		eventually(t, "the recipe has left something", func() bool { return exists(filepath.Join(dir, "up")) })
		start := time.Now()
		if interrupt {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		}
		r := end()
		for _, file := range []string{"a", "b"} {
			pid, _ := strconv.Atoi(strings.TrimSpace(read(t, filepath.Join(dir, file))))
			lives := exists("/proc/" + strconv.Itoa(pid))
			if lives == interrupt {
				t.Errorf("interrupted: %v, %s lives: %v: %+v", interrupt, file, lives, r)
			}
			if lives {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if late := time.Since(start); interrupt && late > promised {
			t.Errorf("it took %v", late)
		}
	}
}
