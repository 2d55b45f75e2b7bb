package spawn

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mexec/internal/wire"
)

// opens is the File for what is open here.
func opens(t *testing.T, f *os.File) *File {
	t.Helper()
	var st unix.Stat_t
	fd := int(f.Fd())
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	at, _ := unix.Seek(fd, 0, 1)
	return &File{
		Path: f.Name(), Flags: uint32(flags), Mode: st.Mode, Rdev: st.Rdev, Offset: at,
		Seen: Seen{Dev: st.Dev, Ino: st.Ino, Ctime: wire.Time{Sec: st.Ctim.Sec, Nsec: uint32(st.Ctim.Nsec)}},
	}
}

// attach makes a pipe with text in it, or none and the end for writing.
func attach(t *testing.T, text string) (r, w *os.File) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(p[0]), "r"), os.NewFile(uintptr(p[1]), "w")
	t.Cleanup(func() { r.Close(); w.Close() })
	w.WriteString(text)
	return r, w
}

func file(t *testing.T, dir, name, text string, flags int) *os.File {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	os.Chmod(path, 0o666)
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestDescriptorsAreWhereTheCallerHasThemAndNoOtherIsOpen(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		for _, numbers := range [][]uint32{{3, 4, 5, 6, 7, 8, 9}, {4, 5, 7, 10, 11, 12, 13}, {5, 6, 13, 63, 64, 250, 251}, {3, 9, 30, 31, 32, 33, 500}} {
			e := sh(t, `for n in $(ls /proc/self/fd); do [ -e /proc/$$/fd/$n ] && echo $n; done; pwd >/dev/null
				cat <&3; cat <&4; cat <&5; cat <&6; cat </proc/$$/fd/7; echo x >&8; echo y >&9`)
			// The shell's numbers have one digit: it gets at the others through /proc.
			script := "ls -l /proc/self/fd | sed -n 's/^.* \\([0-9]* -> .*\\)$/\\1/p'"
			for i, n := range numbers {
				if i < 5 {
					script += fmt.Sprintf("; cat </dev/fd/%d", n)
				} else {
					script += fmt.Sprintf("; echo w%d >>/dev/fd/%d", i, n)
				}
			}
			setArgv(e, "sh", "-c", script)
			e.Rlimit[unix.RLIMIT_NOFILE] = [2]uint64{37, 38}
			dir := string(e.Cwd)
			a := file(t, dir, "a", "file a\n", os.O_RDONLY)
			b := file(t, dir, "b", "xxfile b\n", os.O_RDWR)
			b.Seek(2, 0)
			r1, w1 := attach(t, "pipe 1\n")
			r2, w2 := attach(t, "pipe 2\n")
			w1.Close()
			w2.Close()
			out1, w3 := attach(t, "")
			null := file(t, dir, "null", "", os.O_RDONLY)
			null.Close()
			null, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			j := Job{SameKernel: true, Descriptors: []Descriptor{
				{Number: numbers[0], Attached: r2}, {Number: numbers[1], Opened: opens(t, a)}, {Number: numbers[2], Attached: r1},
				{Number: numbers[3], Opened: opens(t, b)}, {Number: numbers[4], Opened: opens(t, null)},
				{Number: numbers[5], Attached: w3}, {Number: numbers[6], Same: numbers[5]},
			}}
			if os.Getuid() == 0 {
				j.SetIDs, j.UID, j.GID = true, 12345, 12345
				os.Chown(fmt.Sprintf("/proc/self/fd/%d", r1.Fd()), 12345, 12345) // a shell opens a pipe anew by its name
				os.Chown(fmt.Sprintf("/proc/self/fd/%d", r2.Fd()), 12345, 12345)
				os.Chown(fmt.Sprintf("/proc/self/fd/%d", w3.Fd()), 12345, 12345)
			}
			out := output(t, s, j, e)
			r1.Close()
			r2.Close()
			w3.Close()
			var open []string
			for line := range strings.Lines(out) {
				if n, _, ok := strings.Cut(line, " -> "); ok && !strings.Contains(line, "/proc/") {
					open = append(open, n)
				}
			}
			want := []string{"1", "2"}
			for _, n := range numbers {
				want = append(want, fmt.Sprint(n))
			}
			slices.Sort(open)
			slices.Sort(want)
			if !slices.Equal(open, want) {
				t.Errorf("%v: open are %v", numbers, open)
			}
			// A pipe and a file at their numbers; opened by name a file begins at its begin.
			if !strings.HasSuffix(out, "pipe 2\nfile a\npipe 1\nxxfile b\n") {
				t.Errorf("%v: %q", numbers, out)
			}
			buf := make([]byte, 100)
			if n, _ := out1.Read(buf); string(buf[:n]) != "w5\nw6\n" {
				t.Errorf("%v: wrote %q", numbers, buf[:n])
			}
		}
	})
}

func TestAFilesPositionComesAndGoes(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Spawner) {
		e := sh(t, "read l <&3; echo $l; read l <&6; echo $l; echo end >&4; ulimit -n; read l; echo $l")
		e.FDs = 7
		dir := string(e.Cwd)
		in := file(t, dir, "in", "one\ntwo\nthree\nfour\n", os.O_RDONLY)
		in.Seek(4, 0)
		log := file(t, dir, "log", "begin\n", os.O_WRONLY|os.O_APPEND)
		still := file(t, dir, "still", "still", os.O_RDONLY)
		still.Seek(3, 0)
		first := file(t, dir, "first", "0\n1\n2\n", os.O_RDONLY)
		j := Job{SameKernel: true, Descriptors: []Descriptor{
			{Number: 0, Opened: opens(t, first)}, {Number: 3, Opened: opens(t, in)}, {Number: 4, Opened: opens(t, log)},
			{Number: 5, Opened: opens(t, still)}, {Number: 6, Same: 3},
		}}
		r, err := start(t, s, j, e)
		if err != nil {
			t.Fatal(err)
		}
		out, _, _ := r.finish(t)
		if want := fmt.Sprintf("two\nthree\n%d\n0\n", e.Rlimit[unix.RLIMIT_NOFILE][0]); out != want {
			t.Errorf("%q, want %q", out, want)
		}
		if got := r.Moved(); !slices.Equal(got, []Position{{0, 2}, {3, 14}, {4, 10}}) {
			t.Errorf("%v", got)
		}
		if b, _ := os.ReadFile(log.Name()); string(b) != "begin\nend\n" {
			t.Errorf("%q", b)
		}
	})
}

func TestAFileThatIsNotTheCallersIsRefused(t *testing.T) {
	s := open(t, Config{})
	e := sh(t, "echo ran; cat")
	dir := string(e.Cwd)
	f := file(t, dir, "f", "text", os.O_RDONLY)
	other := opens(t, f)
	other.Seen.Ino++
	gone := opens(t, f)
	gone.Path += "x"
	fifo := *opens(t, f)
	fifo.Path = filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo.Path, 0o666); err != nil {
		t.Fatal(err)
	}
	var before int
	for round := range 2 {
		if round == 1 { // groups and stages for the next jobs are there now
			full(t, s)
			before = descriptors(t)
		}
		for want, d := range map[string]Descriptor{
			"descriptor 9 (" + f.Name() + "): another file here":          {Number: 9, Opened: other},
			"descriptor 9 (" + gone.Path + "): no such file or directory": {Number: 9, Opened: gone},
			"descriptor 9 (" + fifo.Path + "): another file here":         {Number: 9, Opened: &fifo},
		} {
			_, err := start(t, s, Job{SameKernel: true, Descriptors: []Descriptor{{Number: 5, Opened: opens(t, f)}, d}}, e)
			if step := (*StepError)(nil); !errors.As(err, &step) || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
			// Descriptor 0 has what stands in for it.
			d.Number = 0
			in, w := attach(t, "instead")
			w.Close()
			j := Job{SameKernel: true, Descriptors: []Descriptor{d}, Stdio: [3]*os.File{in}}
			if out := output(t, s, j, e); out != "ran\ninstead" {
				t.Errorf("%q", out)
			}
			in.Close()
		}
	}
	until(t, "no descriptor is left", func() bool { return descriptors(t) <= before })
}

func TestADescriptorIsNonblockingWhereTheCallersIs(t *testing.T) {
	s := open(t, Config{})
	for _, nonblock := range []bool{false, true} {
		e := sh(t, "grep flags /proc/self/fdinfo/7")
		r, _ := attach(t, "")
		out := output(t, s, Job{Descriptors: []Descriptor{{Number: 7, Attached: r, Nonblock: nonblock}}}, e)
		if got := strings.Contains(out, "4"); got != nonblock {
			t.Errorf("%v: %q", nonblock, out)
		}
	}
}

func TestASetterGetsNoneOfTheJobsDescriptors(t *testing.T) {
	s := open(t, Config{})
	e := sh(t, "cat <&5; echo $FOUND")
	r, w := attach(t, "text ")
	w.Close()
	setter := script(t, "FOUND=$(ls /proc/self/fd | tr -d '\\n')\nexport FOUND\n")
	out := output(t, s, Job{EnvSetter: setter, Descriptors: []Descriptor{{Number: 4, Same: 1}, {Number: 5, Attached: r}}}, e)
	if out != "text 012345\n" { // 3 and 4 are the setter's own, 5 is the directory that is listed
		t.Errorf("%q", out)
	}
}
