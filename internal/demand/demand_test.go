package demand

import (
	"encoding/binary"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func inode(t *testing.T, f *os.File) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// blocked starts a command with an empty pipe at descriptor 3 and another at 4, and waits until it has said so and stands.
func blocked(t *testing.T, name string, args ...string) (pid int, three, four File) {
	t.Helper()
	var r [2]*os.File
	for i := range r {
		var w *os.File
		var err error
		if r[i], w, err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
	}
	cmd := exec.Command(name, args...)
	cmd.ExtraFiles = r[:]
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	three, four = File{Inode: inode(t, r[0])}, File{Inode: inode(t, r[1])}
	r[0].Close()
	r[1].Close()
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd.Process.Pid, three, four
}

func TestWhoWaitsForAPipeIsSeen(t *testing.T) {
	python := func(code string) []string { return []string{"python3", "-c", "import os, select, socket\n" + code} }
	for name, c := range map[string]struct {
		command []string
		three   bool
	}{
		"read":                  {[]string{"sh", "-c", "read l <&3"}, true},
		"read by a child":       {[]string{"sh", "-c", "cat <&3; true"}, true},
		"read of its name":      {[]string{"cat", "/dev/fd/3"}, true},
		"read of another":       {[]string{"sh", "-c", "read l <&4"}, false},
		"sleep":                 {[]string{"sleep", "60"}, false},
		"wait":                  {[]string{"sh", "-c", "sleep 60; true"}, false},
		"poll":                  {python("p = select.poll(); p.register(3, select.POLLIN); p.poll()"), true},
		"poll for other things": {python("p = select.poll(); p.register(4, select.POLLIN); p.register(3, 0); p.poll()"), false},
		"select":                {python("select.select([3], [], [])"), true},
		"select of another":     {python("select.select([4], [], [])"), false},
		"epoll":                 {python("p = select.epoll(); p.register(3, select.EPOLLIN); p.poll()"), true},
		"epoll of another":      {python("p = select.epoll(); p.register(4, select.EPOLLIN); p.poll()"), false},
		"splice":                {python("r, w = os.pipe(); os.splice(3, w, 10)"), true},
	} {
		pid, three, four := blocked(t, c.command[0], c.command[1:]...)
		other := map[bool]bool{true: false, false: c.command[0] != "sleep" && name != "wait"}[c.three]
		// It waits for one of the two, or for none: then for long enough to be sure.
		var got map[File]int
		same := 0
		for deadline := time.Now().Add(20 * time.Second); same < 20 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			got = Waited(append(below(pid), pid), three, four)
			if (got[three] != 0) == c.three && (got[four] != 0) == other {
				same++
			} else {
				same = 0
			}
		}
		if same < 20 {
			t.Errorf("%s: %v; 3 is %v, 4 is %v", name, got, three, four)
		}
	}
}

// below are the children of a process.
func below(pid int) (pids []int) {
	out, _ := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	for _, field := range strings.Fields(string(out)) {
		child, _ := strconv.Atoi(field)
		pids = append(pids, child)
	}
	return pids
}

func TestWhatIsNotKnownIsSaidToBe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	f := File{Inode: inode(t, r)}
	p := process{pid: os.Getpid(), files: []File{f, {Inode: 1}}}
	for line, want := range map[string]int{
		"running\n":                             0,
		"-1 0x7ffe 0x7f00\n":                    0,
		"":                                      Unknown,
		"junk 0x0 0x0\n":                        Unknown,
		"426 0x5 0x1 0x1 0x1 0x0 0x0 0x1 0x1\n": Unknown, // io_uring_enter
		"99999 0x5 0x1 0x1 0x1 0x0 0x0 0x1 0x1\n": Unknown,
	} {
		got := make(map[File]int)
		p.reads(parse(line), func(f File, bytes int) { got[f] = bytes })
		if got[f] != want || got[File{Inode: 1}] != 0 {
			t.Errorf("%q: %v", line, got)
		}
	}
	if got := Waited([]int{1 << 30}, f); len(got) != 0 {
		t.Errorf("a process that is gone waits for %v", got)
	}
	if !Held([]int{1 << 30, os.Getpid()}, f) || Held([]int{os.Getpid()}, File{Inode: 1}) {
		t.Error("what is held is not seen")
	}
}

func TestTheSetsOfPollSelectAndEpollAreRead(t *testing.T) {
	if set := polled([]byte{3, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255, 1, 0, 0, 0}); !slices.Equal(set, []int{3}) {
		t.Error(set)
	}
	words := binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, 1<<3|1<<63), 1<<1|1<<2)
	if set := selected(words, 66); !slices.Equal(set, []int{3, 63, 65}) {
		t.Error(set)
	}
	set := epolled("pos:\t0\nflags:\t02000002\ntfd:        5 events:       19 data:  5  pos:0 ino:1 sdev:2\ntfd:  6 events:  4 data: 6\n")
	if !slices.Equal(set, []int{5}) {
		t.Error(set)
	}
}

// terminal makes one, and returns the end that programs have.
func terminal(t *testing.T) (slave *os.File, device uint64) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	slave = os.NewFile(fd, "slave")
	t.Cleanup(func() { slave.Close() })
	var st unix.Stat_t
	if err := unix.Fstat(int(fd), &st); err != nil {
		t.Fatal(err)
	}
	return slave, st.Rdev
}

func TestWhoWaitsForATerminalIsSeenAndForHowMuch(t *testing.T) {
	for name, c := range map[string]struct {
		script []string
		want   int
	}{
		"read":             {[]string{"dd", "bs=7", "count=1"}, 7},
		"a child's read":   {[]string{"sh", "-c", "cat; true"}, 4096},
		"by its name":      {[]string{"setsid", "-c", "dd", "if=/dev/tty", "bs=9", "count=1"}, 9},
		"poll":             {[]string{"python3", "-c", "import select; p = select.poll(); p.register(0, 1); p.poll()"}, Any},
		"select":           {[]string{"python3", "-c", "import select; select.select([0], [], [])"}, Any},
		"epoll":            {[]string{"python3", "-c", "import select; p = select.epoll(); p.register(0, 1); p.poll()"}, Any},
		"sleep":            {[]string{"sleep", "100"}, 0},
		"a pipe":           {[]string{"sh", "-c", "sleep 100 | cat"}, 0},
		"select of others": {[]string{"python3", "-c", "import select, os; select.select([os.pipe()[0]], [], [])"}, 0},
	} {
		if _, err := exec.LookPath(c.script[0]); err != nil {
			t.Logf("%s: not tried: %v", name, err)
			continue
		}
		slave, device := terminal(t)
		cmd := exec.Command(c.script[0], c.script[1:]...)
		cmd.Stdin = slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: c.script[0] != "setsid"}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.Now().Add(20 * time.Second)
		if c.want == 0 {
			late = time.Now().Add(300 * time.Millisecond)
		}
		got := 0
		for got <= 0 && time.Now().Before(late) {
			f := File{Device: device}
			got = Waited(append(below(cmd.Process.Pid), cmd.Process.Pid), f)[f]
			time.Sleep(time.Millisecond)
		}
		if got = max(got, 0); min(got, 4096) != min(c.want, 4096) { // cat may ask for more than a page
			t.Errorf("%s: waits for %d bytes, want %d", name, got, c.want)
		}
		for _, pid := range below(cmd.Process.Pid) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
}
