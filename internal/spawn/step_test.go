package spawn

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mexec/internal/wire"
)

func TestEveryStepSaysWhatIsWrong(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		var st unix.Stat_t
		for _, c := range []struct {
			name string
			edit func(e *wire.ExecBody, j *Job)
			want string
			step Step
		}{
			{"chdir", func(e *wire.ExecBody, j *Job) { e.Cwd = []byte("/nowhere") }, "chdir /nowhere: no such file or directory", StepCWD},
			{"rlimit", func(e *wire.ExecBody, j *Job) { e.Rlimit[7] = [2]uint64{1 << 40, 1 << 40} }, "setrlimit nofile: operation not permitted", StepRLimit},
			{"execve", func(e *wire.ExecBody, j *Job) { e.Path = []byte("/etc/passwd") }, "execve /etc/passwd: permission denied", StepExec},
			{"no program", func(e *wire.ExecBody, j *Job) { e.Path = []byte("nothing") }, "execve nothing: no such file or directory", StepExec},
			{"directory", func(e *wire.ExecBody, j *Job) { j.CheckDirectory, j.SameKernel = true, true },
				"directory %cwd: another directory here", StepDirectory},
			{"local", func(e *wire.ExecBody, j *Job) { j.CheckDirectory, e.Dir.FS, e.Cwd = true, 0xef53, []byte("/dev/shm") },
				"directory /dev/shm: on a local file system, here and at the caller", StepDirectory},
			{"program", func(e *wire.ExecBody, j *Job) { j.CheckProgram = true }, "program /bin/sh: another size here", StepProgram},
			{"program time", func(e *wire.ExecBody, j *Job) { j.CheckProgram, e.Prog.Size = true, uint64(st.Size) },
				"program /bin/sh: another modification time here", StepProgram},
			{"program gone", func(e *wire.ExecBody, j *Job) { j.CheckProgram, e.Path = true, []byte("./gone") },
				"program ./gone: no such file or directory", StepProgram},
			{"no setter", func(e *wire.ExecBody, j *Job) { j.EnvSetter = "/no/setter" },
				"environment setter /no/setter: no such file or directory", StepEnvSetter},
			{"frame", func(e *wire.ExecBody, j *Job) { j.Exec = []byte("garbage") }, "stage frame: invalid argument", StepFrame},
		} {
			t.Run(c.name, func(t *testing.T) {
				if err := unix.Stat("/bin/sh", &st); err != nil {
					t.Fatal(err)
				}
				e, j := sh(t, "exit 0"), Job{}
				c.edit(e, &j)
				_, err := start(t, s, j, e)
				step, ok := err.(*StepError)
				want := strings.ReplaceAll(c.want, "%cwd", string(e.Cwd))
				if !ok || step.Step != c.step || err.Error() != want {
					t.Errorf("%v, want %s", err, want)
				}
			})
		}
	})
}

func TestAnUnprivilegedDaemonSaysWhatItMayNot(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may")
	}
	// Before any stage is forked: one that stands by keeps the limits that it was born with.
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 4096})
	everywhere(t, func(t *testing.T, s *Spawner) {
		for want, edit := range map[string]func(e *wire.ExecBody, j *Job){
			"setpriority: permission denied":     func(e *wire.ExecBody, j *Job) { e.Nice = -5 },
			"setgroups: operation not permitted": func(e *wire.ExecBody, j *Job) { j.SetIDs, j.UID = true, 1 },
			"setrlimit core: operation not permitted": func(e *wire.ExecBody, j *Job) {
				e.Rlimit[unix.RLIMIT_CORE] = [2]uint64{0, 8192}
			},
		} {
			e, j := sh(t, "exit 0"), Job{}
			edit(e, &j)
			if _, err := start(t, s, j, e); err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}

// Each length of a frame, made wrong in each way that a decoder could fall for.
func TestAMalformedFrameIsRefused(t *testing.T) {
	s := open(t, Config{NoCgroup: true})
	e := sh(t, "")
	e.Path, e.Nodes, e.Groups = []byte("/bin/true"), []byte("1-3"), []uint32{1, 2}
	good := e.Append(nil)
	try := func(name string, body []byte) {
		r, err := start(t, s, Job{Exec: body}, nil)
		if err != nil {
			if step, ok := err.(*StepError); !ok || step.Step != StepFrame {
				t.Errorf("%s: %v", name, err)
			}
			return
		}
		r.finish(t)
		t.Errorf("%s was taken", name)
	}
	for _, at := range []int{0, 416, 420, 424, 428, 432, 436, 440, 444} { // head_len, then ngroups to strings_len
		was := binary.LittleEndian.Uint32(good[at:])
		for _, v := range []uint32{0, was - 1, was + 1, was + 4, 1 << 16, 1 << 29, 1 << 30, 1 << 31, ^uint32(0)} {
			if v != was {
				bad := slices.Clone(good)
				binary.LittleEndian.PutUint32(bad[at:], v)
				try(fmt.Sprintf("%d at %d", v, at), bad)
			}
		}
	}
	for _, n := range []int{0, 1, 487, 488, 495, 500, len(good) - 1} {
		try(fmt.Sprintf("the first %d bytes", n), good[:n])
	}
}

func TestTheSameDirectoryAndProgramAreAccepted(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		e := sh(t, "echo here")
		var dir, prog unix.Stat_t
		if err := unix.Stat(string(e.Cwd), &dir); err != nil {
			t.Fatal(err)
		}
		if err := unix.Stat("/bin/sh", &prog); err != nil {
			t.Fatal(err)
		}
		e.Dir = wire.Directory{Dev: dir.Dev, Ino: dir.Ino, FS: 0x6969, Ctime: wire.Time{Sec: dir.Ctim.Sec, Nsec: uint32(dir.Ctim.Nsec)}}
		e.Prog = wire.Program{Dev: prog.Dev, Ino: prog.Ino}
		if got := output(t, s, Job{SameKernel: true, CheckDirectory: true, CheckProgram: true}, e); got != "here\n" {
			t.Errorf("got %q", got)
		}
		e.Prog = wire.Program{Size: uint64(prog.Size), Mtime: wire.Time{Sec: prog.Mtim.Sec, Nsec: uint32(prog.Mtim.Nsec)}}
		if got := output(t, s, Job{CheckDirectory: true, CheckProgram: true}, e); got != "here\n" {
			t.Errorf("got %q", got)
		}
	})
}

// A directory that may be searched and not read is still a working directory.
func TestADirectoryThatCannotBeReadIsChecked(t *testing.T) {
	s := open(t, Config{})
	e := sh(t, "echo here")
	var dir unix.Stat_t
	if err := unix.Stat(string(e.Cwd), &dir); err != nil {
		t.Fatal(err)
	}
	os.Chmod(string(e.Cwd), 0o111)
	e.Dir = wire.Directory{Dev: dir.Dev, Ino: dir.Ino}
	e.Rlimit[unix.RLIMIT_NOFILE][0] = 5
	j := Job{SameKernel: true, CheckDirectory: true}
	if os.Getuid() == 0 {
		j.SetIDs, j.UID, j.GID = true, 12345, 12345
	}
	if got := output(t, s, j, e); got != "here\n" {
		t.Errorf("got %q", got)
	}
}

func TestTheRulesOfSameDirectoryAndSameProgram(t *testing.T) {
	if _, err := os.Stat("../../libmexec"); err != nil {
		t.Skip("no sources here: the unprivileged run")
	}
	exe := filepath.Join(t.TempDir(), "same")
	build := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover=all",
		"-o", exe, "../../libmexec/tests/stage_test.c", "../../libmexec/stage_same.c")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(exe).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
