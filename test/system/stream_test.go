package system_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec/test/hosts"
)

// Streams and descriptors: they stay the caller's, and what a remote program does with them is what a local one would do.

// pipe makes a pipe as a shell does, whose ends are blocking; os.Pipe's are not.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(p[0]), "|0"), os.NewFile(uintptr(p[1]), "|1")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// unread is how many bytes lie in a pipe.
func unread(t *testing.T, r *os.File) int {
	t.Helper()
	n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// descriptors counts what a host's daemon has open, by what it is. Of the control groups that it keeps for the next jobs it has as
// many as it ever had jobs at a time: they are counted apart. The memory.* of its own groups, which it reads again and again, are as many as ever.
func descriptors(h *hosts.Host) (open map[string]int, sum, groups int) {
	dir := fmt.Sprintf("/proc/%d/fd/", h.Daemon())
	list, _ := os.ReadDir(dir)
	open = map[string]int{}
	for _, e := range list {
		to, err := os.Readlink(dir + e.Name())
		kind, _, _ := strings.Cut(to, ":[")
		switch {
		case err != nil:
		case strings.HasPrefix(to, "/sys/fs/cgroup/") && !strings.HasPrefix(filepath.Base(to), "memory."):
			groups++
		default:
			open[kind]++
			sum++
		}
	}
	return open, sum, groups
}

// resident is the memory that a host's daemon holds, in MiB.
func resident(t *testing.T, h *hosts.Host) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", h.Daemon()))
	if err != nil {
		t.Fatal(err)
	}
	return atoi(t, strings.Fields(string(b))[1]) * os.Getpagesize() >> 20
}

func TestOutputIsCompleteAndInOrderBeforeTheStatus(t *testing.T) {
	node1, _, _ := three(t)
	const script = "seq 100000; seq 20000 >&2; exit 7"
	want := run(t, sh(node1, script))
	if got := run(t, node1.Command("mexec", "-n", "2", "sh", "-c", script)); got != want {
		t.Errorf("%d and %d bytes, status %d; want %d and %d, %d", len(got.out), len(got.errs), got.code, len(want.out), len(want.errs), want.code)
	}
	// Into a file: all is there when the caller has ended, with nobody waiting for an end of file.
	for range 20 {
		file, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := node1.Command("mexec", "-n", "2", "seq", "3000")
		cmd.Stdout = file
		run(t, cmd)
		if b, _ := os.ReadFile(file.Name()); !bytes.HasSuffix(b, []byte("\n2999\n3000\n")) {
			t.Fatalf("%d bytes when the caller ended: %.20q", len(b), b[max(0, len(b)-20):])
		}
		file.Close()
	}
}

func TestTwoDescriptorsOfOneOpenFileKeepTheirOrder(t *testing.T) {
	node1, _, _ := three(t)
	const script = `i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done`
	var want strings.Builder
	for i := range 500 {
		fmt.Fprintf(&want, "out %d\nerr %d\n", i, i)
	}
	file := filepath.Join(t.TempDir(), "out")
	for _, redirect := range []string{"2>&1 | cat", ">'" + file + "' 2>&1; cat '" + file + "'", ">>'" + file + "a' 2>&1; cat '" + file + "a'"} {
		r := run(t, sh(node1, `mexec -n 2 sh -c "$1" `+redirect, script))
		if r.out != want.String() {
			t.Errorf("%s: %d bytes, %d expected, or another order", redirect, len(r.out), want.Len())
		}
	}
}

func TestASlowReaderSlowsTheProgramAndFillsNoMemory(t *testing.T) {
	node1, node2, _ := three(t)
	const size = 200_000_000
	run(t, node1.Command("mexec", "-n", "2", "head", "-c", "1000000", "/dev/zero")) // what is warmed up is no growth
	before := [2]int{resident(t, node1), resident(t, node2)}
	r, w := pipe(t)
	cmd := node1.Command("mexec", "-n", "2", "sh", "-c", "echo $$; exec head -c 200000000 /dev/zero")
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer late.Stop()
	pid := make([]byte, 16)
	n, err := r.Read(pid)
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(pid[:n]), "\n")
	written := func() (bytes int) {
		b, _ := os.ReadFile("/proc/" + first + "/io")
		_, s, _ := strings.Cut(string(b), "wchar: ")
		fmt.Sscan(s, &bytes)
		return bytes
	}
	// Nobody reads: the program stands soon, at what the pipes and one window between hold.
	stood, last := 0, 0
	eventually(t, "the program waits for its reader", func() bool {
		if now := written(); now > 0 && now == last {
			stood++
		} else {
			stood, last = 0, now
		}
		return stood == 30
	})
	if last > 4<<20 {
		t.Errorf("%d bytes on the way to a reader that does not read", last)
	}
	most := [2]int{}
	buf := make([]byte, 1<<20)
	got := len(rest)
	for round := 0; ; round++ {
		k, err := r.Read(buf)
		got += k
		if err != nil {
			break
		}
		if round%200 == 0 {
			for i, h := range []*hosts.Host{node1, node2} {
				most[i] = max(most[i], resident(t, h))
			}
		}
	}
	if err := cmd.Wait(); err != nil || got != size {
		t.Errorf("%d bytes of %d, %v", got, size, err)
	}
	for i := range most {
		if most[i] > before[i]+32 {
			t.Errorf("node%d's daemon grew from %d to %d MiB", i+1, before[i], most[i])
		}
	}
}

func TestAProgramHearsThatItsReaderIsGone(t *testing.T) {
	node1, _, _ := three(t)
	r, w := pipe(t)
	cmd := node1.Command("mexec", "-n", "2", "sh", "-c", "echo $$; exec yes")
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	pid := make([]byte, 16)
	n, err := r.Read(pid)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd.Wait()
	if sig := ended(cmd.ProcessState); sig != syscall.SIGPIPE {
		t.Errorf("%v, want death by SIGPIPE", cmd.ProcessState)
	}
	first, _, _ := strings.Cut(string(pid[:n]), "\n")
	eventually(t, "yes is gone", func() bool { return state(first) == 0 })
	// Who ignores the signal gets the error, and can say so.
	if r := run(t, sh(node1, `{ mexec -n 2 sh -c "trap '' PIPE; seq 100000; echo \$? >&2"; echo $? >&2; } | head -n 1`)); r.out != "1\n" || !strings.HasSuffix(r.errs, "\n1\n0\n") {
		t.Errorf("%+v", r)
	}
}

// A page is 4096 bytes, in however many pieces they come: gcc -v, which writes its lines piece by piece, had a grep behind it killed.
func TestAPipeMayComeInManySmallPieces(t *testing.T) {
	node1, _, _ := three(t)
	fifo := filepath.Join(t.TempDir(), "go")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{
		`exec mexec -n 2 sh -c 'read -r go <"$1"; exec cat' sh "$1"`,
		`exec mexec -n 2 sh -c 'head -c 1 <&3; read -r go <"$1"; exec cat <&3' sh "$1" 3<&0 </dev/null`,
	} {
		r, w := pipe(t)
		cmd := sh(node1, script, fifo)
		cmd.Stdin = r
		var want strings.Builder
		fed := make(chan error, 1)
		go func() {
			for i := range 200 {
				piece := strconv.Itoa(i) + "."
				want.WriteString(piece)
				w.WriteString(piece)
				for left := 1; left > 0; { // home has it, and the next is a piece of its own
					left, _ = unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
					runtime.Gosched()
				}
			}
			w.Close()
			fed <- os.WriteFile(fifo, []byte("\n"), 0)
		}()
		got := run(t, cmd)
		if got.code != 0 || got.errs != "" {
			t.Fatalf("%s: %+v", script, got)
		}
		if err := <-fed; err != nil || got.out != want.String() {
			t.Errorf("%s: %v, %q", script, err, got.out)
		}
	}
}

func TestAtMostOnePageOfAPipeIsTakenBeyondWhatTheProgramRead(t *testing.T) {
	node1, _, _ := three(t)
	for _, c := range []struct {
		command string
		read    int
		least   int // of what else may be missing
		most    int
	}{
		{"mexec -n 2 true", 0, 0, 4096},
		{"mexec -n 2 dd bs=10 count=1 status=none", 10, 0, 4096},
		{"mexec -n 2 dd bs=1000 count=20 status=none iflag=fullblock", 20000, 0, 4096},
		{"mexec --no-stdin -n 2 cat", 0, 0, 0},
		{"mexec --no-stdin cat", 0, 0, 0},
		{"mexec -n 1 dd bs=10 count=1 status=none", 10, 0, 0},
		{"mexec -n 2 cat", 60000, 0, 0},
	} {
		r, w := pipe(t)
		data := make([]byte, 60000)
		for i := range data {
			data[i] = byte('a' + rand.N(26))
		}
		w.Write(data)
		if c.command == "mexec -n 2 cat" {
			w.Close()
		}
		cmd := node1.Command("sh", "-c", c.command)
		cmd.Stdin = r
		got := run(t, cmd)
		if got.code != 0 || got.out != string(data[:c.read]) {
			t.Errorf("%s: read %d bytes, %q, status %d", c.command, len(got.out), got.errs, got.code)
		}
		if taken := len(data) - unread(t, r); taken < c.read || taken > c.read+c.most {
			t.Errorf("%s: %d bytes are gone, %d were read", c.command, taken, c.read)
		}
	}
}

func TestWhatWasNotReadOfAFileStaysForTheNext(t *testing.T) {
	node1, _, _ := three(t)
	var lines strings.Builder
	for i := range 40 {
		fmt.Fprintf(&lines, "%d %s\n", i, strings.Repeat("x", 5000))
	}
	file := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(file, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{
		`while read -r l; do echo "$l"; mexec -n 2 true; done <"$1"`,
		`while read -r l; do echo "$l"; mexec -n 2 sh -c 'exit 3'; mexec -n 3 sleep 0; done <"$1"`,
		`{ mexec -n 2 sh -c 'read -r l; echo "$l"'; mexec -n 3 sh -c 'read -r l; echo "$l"; read -r l; echo "$l"'; cat; } <"$1"`,
		`mexec -n 2 cat <"$1"`,
		`{ mexec -n 2 cat; mexec -n 2 cat; } <"$1"`,
	} {
		if r := run(t, sh(node1, script, file)); r.out != lines.String() || r.errs != "" {
			t.Errorf("%s: %d bytes of %d, %q", script, len(r.out), lines.Len(), r.errs)
		}
	}
}

func TestClosedDescriptorsStayClosed(t *testing.T) {
	node1, _, _ := three(t)
	file := filepath.Join(t.TempDir(), "open")
	const script = `r=; for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && r=$r$n; done; echo "open $r" >"$0"; uname -n >>"$0"`
	for set := range 8 {
		redirect, open := "", ""
		for n := range 3 {
			if set&(1<<n) == 0 {
				redirect += " " + strconv.Itoa(n) + ">&-"
			} else {
				open += strconv.Itoa(n)
			}
		}
		r := run(t, sh(node1, `mexec -n 2 sh -c "$1" "$2"`+redirect, script, file))
		b, _ := os.ReadFile(file)
		if want := "open " + open + "\nnode2\n"; string(b) != want || r.code != 0 {
			t.Errorf("with%s: %q, want %q; %+v", redirect, b, want, r)
		}
	}
}

func TestNoFlagOfTheCallersOpenFilesIsEverSet(t *testing.T) {
	node1, _, _ := three(t)
	sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	socket, other := os.NewFile(uintptr(sockets[0]), "socket"), os.NewFile(uintptr(sockets[1]), "other")
	t.Cleanup(func() { socket.Close(); other.Close() })
	inR, inW := pipe(t)
	outR, outW := pipe(t)
	errR, errW := pipe(t)
	for name, f := range map[string][3]*os.File{"pipes": {inR, outW, errW}, "sockets": {socket, socket, errW}} {
		cmd := node1.Command("mexec", "-n", "2", "sh", "-c", "seq 5000; seq 5000 >&2; read l; sleep 0.1; echo $l")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = f[0], f[1], f[2]
		read := map[string]*os.File{"pipes": outR, "sockets": other}[name]
		go io.Copy(io.Discard, errR)
		go io.Copy(io.Discard, read)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }()
		fed := false
		for over := false; !over; {
			select {
			case <-done:
				over = true
			case <-time.After(time.Millisecond):
			}
			for n, f := range f {
				flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
				if err != nil || flags&(unix.O_NONBLOCK|unix.O_ASYNC|unix.O_APPEND) != 0 {
					t.Fatalf("%s: descriptor %d has flags %#o, %v", name, n, flags, err)
				}
			}
			if !fed {
				fed = true
				map[string]*os.File{"pipes": inW, "sockets": other}[name].Write([]byte("line\n"))
			}
		}
		if !cmd.ProcessState.Success() {
			t.Errorf("%s: %v", name, cmd.ProcessState)
		}
	}
}

// Whoever reads a command's output to its end must not wait for anything but the command.
func TestAReaderHasItsEndOfFileWhenTheCommandHasEnded(t *testing.T) {
	node1, _, _ := three(t)
	for _, command := range [][]string{
		{"mexec", "-n", "2", "echo", "hi"},
		{"mexec", "-n", "1", "echo", "hi"},
		{"mexec", "-n", "2", "sh", "-c", "echo hi; sleep 600 &"},
		{"mexec", "-n", "2", "sh", "-c", "echo hi; setsid sleep 600 & kill -9 $$"},
		{"mexec", "-n", "2", "nonesuch"},
	} {
		r, w := pipe(t)
		cmd := node1.Command(command[0], command[1:]...)
		cmd.Stdout = w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		cmd.Wait()
		end := make(chan time.Time, 1)
		begin := time.Now()
		go func() {
			io.Copy(io.Discard, r)
			end <- time.Now()
		}()
		select {
		case at := <-end:
			if took := at.Sub(begin); took > time.Second {
				t.Errorf("%q: end of file %v after the end of the command", command, took)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%q: somebody holds the caller's pipe", command)
		}
	}
}

func TestFiveHundredCommandsOfAllKindsLeaveNoDescriptorBehind(t *testing.T) {
	node1, node2, node3 := three(t)
	all := []*hosts.Host{node1, node2, node3}
	const commands = `case $1 in
*0) mexec true ;;
*1) mexec -n 2 false ;;
*2) mexec -n 3 sh -c 'kill -9 $$' ;;
*3) echo in | mexec -n 2 cat >/dev/null ;;
*4) seq 50000 | mexec -n 2-3 head -n 1 >/dev/null ;;
*5) mexec -n 2 cat <"$0" >/dev/null ;;
*6) timeout -s KILL 0.05 mexec -n 3 sleep 600 ;;
*7) mexec -n 2 seq 20000 | head -n 1 >/dev/null ;;
*8) mexec -n node2 sh -c 'sleep 600 & true' 0>&- 2>&- ;;
*9) ENVSETTER=/nonexistent mexec -n 2-3 true; mexec -n junk true ;;
esac 2>/dev/null; true`
	rush := func(n int) {
		t.Helper()
		script := filepath.Join(t.TempDir(), "commands")
		if err := os.WriteFile(script, []byte(commands), 0o644); err != nil {
			t.Fatal(err)
		}
		r := run(t, sh(node1, `seq "$1" | xargs -P 8 -n 1 sh "$2"`, fmt.Sprint(n), script))
		if r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	// Links, and a node's pipe for what environment setters say, are made when they are first needed.
	for _, h := range all {
		run(t, sh(node1, "ENVSETTER=/nonexistent exec mexec -n "+h.Name+" true"))
	}
	rush(50)
	before := make([]int, len(all))
	for i, h := range all {
		last, same := -1, 0
		eventually(t, h.Name+" is at rest", func() bool {
			if _, before[i], _ = descriptors(h); before[i] == last && idle(t, node1, h) {
				same++
			} else {
				last, same = before[i], 0
			}
			return same == 5
		})
	}
	rush(500)
	for i, h := range all {
		var open map[string]int
		var now, groups int
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if open, now, groups = descriptors(h); now <= before[i] {
				break
			}
		}
		if now > before[i] || groups > 2*(trio.hs.Slots()+8) {
			t.Errorf("%s: %d descriptors, %d before, and %d of groups: %v", h.Name, now, before[i], groups, open)
		}
	}
}

// idle says whether a node runs nothing, as another sees it.
func idle(t *testing.T, from, of *hosts.Host) bool {
	nodes, err := from.Nodes(t.Context())
	for _, n := range nodes {
		if string(n.Name) == of.Name {
			return err == nil && n.Busy == 0
		}
	}
	return false
}
