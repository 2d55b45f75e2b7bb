package system_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mexec/test/hosts"
)

// Descriptors above 2, and files at descriptor 0: a program elsewhere finds what it would have found here.

// with gives a command the open files as its descriptors, by number.
func with(cmd *exec.Cmd, files map[int]*os.File) *exec.Cmd {
	for n, f := range files {
		for len(cmd.ExtraFiles) <= n-3 {
			cmd.ExtraFiles = append(cmd.ExtraFiles, nil)
		}
		cmd.ExtraFiles[n-3] = f
	}
	return cmd
}

// bash is a script in bash, which has what sh lacks: numbers above 9, process substitution.
func bash(cmd *exec.Cmd) *exec.Cmd {
	for i, a := range cmd.Args {
		if a == "sh" && i+1 < len(cmd.Args) && cmd.Args[i+1] == "-c" {
			cmd.Args[i] = "bash"
		}
	}
	if filepath.Base(cmd.Path) == "sh" {
		cmd.Path = "/bin/bash"
	}
	return cmd
}

func TestDescriptorsTravel(t *testing.T) {
	node1, _, _ := three(t)
	dir := place(t)
	var lines strings.Builder
	for i := range 30 {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	for _, c := range []struct{ name, script, want string }{
		{"a loop over a file", `while read -r l; do echo "$l"; mexec -n 2 true; done <lines`, lines.String()},
		{"a loop over a file above 2", `while read -r l <&3; do echo "$l"; mexec -n 2 true; done 3<lines`, lines.String()},
		{"a loop over a pipe above 2", `while read -r l <&3; do echo "$l"; mexec -n 2 true; done 3< <(cat lines)`, lines.String()},
		{"a file that commands read on", `exec 3<lines; mexec -n 2 sed -n 1p\;1q <&3; mexec -n 3 sed -n 1p\;1q <&3; cat <&3 | wc -l`, ""},
		{"a file read by number", `exec 3<lines; for n in 2 3 2; do mexec -n $n sh -c 'read l <&3; echo $l'; done; read l <&3; echo $l`,
			"line 0\nline 1\nline 2\nline 3\n"},
		{"head", `{ mexec -n 2 sh -c 'read l; echo $l'; mexec -n 3 head -n 1; read l; echo $l; } <lines`, ""},
		{"a log", `rm -f log; exec 5>>log; for n in 2 3 1; do mexec -n $n sh -c 'echo $1 >&5' sh $n; done; echo end >&5; cat log`, "2\n3\n1\nend\n"},
		{"written and read on", `exec 5<>rw; mexec -n 2 sh -c 'echo one >&5'; echo two >&5; mexec -n 3 sh -c 'echo three >&5'; cat rw`, "one\ntwo\nthree\n"},
		{"process substitution", `mexec -n 2 cat <(echo a) <(echo b) <(cat lines)`, "a\nb\n" + lines.String()},
		{"diff", `mexec -n 2 diff <(seq 1000) <(seq 2 1000)`, "1d0\n< 1\n"},
		{"tee to a process", `mexec -n 2 tee >(cat >copy) </dev/null; seq 100 | mexec -n 2 tee >(sort -n | tail -n 1 >copy) >/dev/null; while ! [ -s copy ]; do sleep 0.01; done; cat copy`, "100\n"},
		{"3>&1", `{ mexec -n 2 sh -c 'echo three >&3; echo one; echo four >&4' 3>&1 4>&2; } 2>err; cat err`, "three\none\nfour\n"},
		{"two numbers of one file", `exec 3<lines 4<&3; mexec -n 2 sh -c 'read l <&3; echo $l; read l <&4; echo $l'; read l <&3; echo $l`, "line 0\nline 1\nline 2\n"},
		{"two opens of one file", `exec 3<lines 4<lines; mexec -n 2 sh -c 'read l <&3; echo $l; read l <&4; echo $l'; read l <&3; echo $l`, "line 0\nline 0\nline 1\n"},
		{"both ends of a pipe", `mkfifo f; exec 3<>f 4<f 5>f 3>&-; mexec -n 2 sh -c 'echo around >&5; read l <&4; echo $l'`, "around\n"},
		{"a directory", `exec 3<.; mexec -n 2 sh -c 'ls /proc/self/fd/3/lines | tail -c 6'`, "lines\n"},
		{"null and zero", `mexec -n 2 sh -c 'wc -c <&3; head -c 3 <&4 | od -An -tx1; echo x >&5' 3</dev/null 4</dev/zero 5>/dev/null`, "0\n 00 00 00\n"},
		{"numbers", `mexec -n 2 sh -c 'cat /dev/fd/250 /dev/fd/9 /dev/fd/77' 9<lines 77< <(echo sub) 250< <(echo first)`, "first\n" + lines.String() + "sub\n"},
		{"closed ones", `exec 7<lines; mexec -n 2 sh -c '[ -e /proc/$$/fd/7 ] || echo closed' 7<&-`, "closed\n"},
		{"a mapped file", `mexec -n 2 python3 -c 'import mmap; m = mmap.mmap(0, 0, prot=mmap.PROT_READ); print(m[7:13].decode())' <lines`, "line 1\n"},
		{"seeking", `mexec -n 2 sh -c 'tail -n 1; exec 3<&0'  <lines`, "line 29\n"},
		{"a low limit", `ulimit -n 40; exec 30<lines; ulimit -n 20; mexec -n 2 sh -c 'ulimit -n; cat /dev/fd/30 | wc -l'`, "20\n30\n"},
	} {
		write(t, filepath.Join(dir, "lines"), lines.String())
		os.Remove(filepath.Join(dir, "f"))
		run := func(script string) result {
			cmd := bash(sh(node1, script))
			cmd.Dir = dir
			return run(t, cmd)
		}
		os.Remove(filepath.Join(dir, "copy"))
		os.Remove(filepath.Join(dir, "rw"))
		got := run(c.script)
		want := c.want
		if want == "" { // what the kernel does
			want = run(regexp.MustCompile(`mexec -n \S+`).ReplaceAllString(c.script, "")).out
		}
		if got.out != want || got.errs != "" {
			t.Errorf("%s: %+v, want %q", c.name, got, want)
		}
		if where := run(strings.ReplaceAll(c.script, "mexec -n", "mexec -v -n")); strings.Contains(where.errs, "here") && !strings.Contains(c.script, " 1;") {
			t.Errorf("%s: stayed here: %s", c.name, where.errs)
		}
	}
}

func TestWhatCannotTravelKeepsTheCommandHereAndTheReasonSaysWhich(t *testing.T) {
	node1, _, _ := three(t)
	dir := place(t)
	file := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	fd := func(name string) func(fd int, err error) *os.File {
		return func(fd int, err error) *os.File {
			if err != nil {
				t.Fatal(err)
			}
			f := os.NewFile(uintptr(fd), name)
			t.Cleanup(func() { f.Close() })
			return f
		}
	}
	deleted, locked, renamed := file("deleted"), file("locked"), file("renamed")
	os.Remove(deleted.Name())
	os.Rename(renamed.Name(), renamed.Name()+"2")
	write(t, renamed.Name()+"2", "the other name is as good")
	if err := unix.Flock(int(locked.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	listener := fd("listener")(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	unix.Bind(int(listener.Fd()), &unix.SockaddrUnix{Name: filepath.Join(dir, "s")})
	unix.Listen(int(listener.Fd()), 1)
	for want, f := range map[string]*os.File{
		"an epoll instance":                       fd("epoll")(unix.EpollCreate1(unix.EPOLL_CLOEXEC)),
		"an eventfd":                              fd("eventfd")(unix.Eventfd(0, unix.EFD_CLOEXEC)),
		"an inotify instance":                     fd("inotify")(unix.InotifyInit1(unix.IN_CLOEXEC)),
		"a timerfd":                               fd("timerfd")(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)),
		"a memory file":                           fd("memfd")(unix.MemfdCreate("x", unix.MFD_CLOEXEC)),
		"a process descriptor":                    fd("pidfd")(unix.PidfdOpen(os.Getpid(), 0)),
		"a place only (O_PATH)":                   fd("path")(unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)),
		"a socket that is no stream":              fd("udp")(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)),
		"a socket without a peer":                 fd("tcp")(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)),
		"a listening socket":                      listener,
		"a file that has been deleted":            deleted,
		locked.Name() + " with a lock held on it": locked,
		"a terminal that none of 0, 1 and 2 is":   master,
	} {
		r := run(t, with(node1.Command("mexec", "-v", "-n", "2", "readlink", "/proc/self/fd/7"), map[int]*os.File{7: f}))
		if want := "mexec: here: descriptor 7 is " + want + "\n"; r.errs != want || r.code != 0 || r.out == "" {
			t.Errorf("%+v, want %q", r, want)
		}
	}
	// A lock of fcntl(2) is the process's own, and it keeps it over execve.
	script := `import fcntl, os
f = os.open("` + renamed.Name() + `2", os.O_RDWR); os.set_inheritable(f, True); fcntl.lockf(f, fcntl.LOCK_EX); os.execvp("mexec", ["mexec", "-v", "-n", "2", "true"])`
	if r := run(t, node1.Command("python3", "-c", script)); !strings.HasPrefix(r.errs, "mexec: here: descriptor 3 is "+renamed.Name()+"2 with a lock") {
		t.Errorf("%+v", r)
	}
	many := `ulimit -n 1000; for n in $(seq 3 302); do eval "exec $n</dev/null"; done; mexec -v -n 2 sh -c 'ls /proc/self/fd | wc -l'`
	if r := run(t, bash(sh(node1, many))); r.errs != "mexec: here: 300 descriptors above 2 are open, more than can travel\n" || r.out != "304\n" {
		t.Errorf("%+v", r)
	}
	many = strings.ReplaceAll(strings.ReplaceAll(many, "302", "242"), "</dev/null", "<lines")
	write(t, filepath.Join(dir, "lines"), "")
	cmd := bash(sh(node1, many))
	cmd.Dir = dir
	if r := run(t, cmd); !strings.HasPrefix(r.errs, "mexec: node2: ") || r.out != "244\n" {
		t.Errorf("%+v", r)
	}
}

// What the user may not open by its name, but has open, is not to be had on another node.
func TestAFileThatTheUserCannotOpenKeepsTheCommandHere(t *testing.T) {
	node1, _, _ := three(t)
	dir := place(t)
	os.Chmod(dir, 0o777)
	secret := filepath.Join(dir, "secret")
	write(t, secret, "secret\n")
	os.Chmod(secret, 0o600)
	script := `exec 7<secret; exec setpriv --reuid 12345 --regid 12345 --clear-groups -- mexec -v -n 2 sh -c 'cat <&7; id -u'`
	cmd := sh(node1, script)
	cmd.Dir = dir
	want := "mexec: here: node2 refused: descriptor 7 (" + secret + "): permission denied"
	if r := run(t, cmd); r.out != "secret\n12345\n" || !strings.Contains(r.errs, want) {
		t.Errorf("%+v, want %q", r, want)
	}
}

func TestNoDescriptorLeaksIntoAJob(t *testing.T) {
	node1, _, _ := three(t)
	dir := place(t)
	write(t, filepath.Join(dir, "file"), "")
	const script = `exec 3<file 5>>file 6</dev/null 12< <(true); ls -l /proc/self/fd | sed -n 's/^\(..\).* \([0-9]* -> [^0-9]*\).*/\1 \2/p'`
	var got [2]string
	for i, prefix := range []string{"", "mexec -n 2 "} {
		cmd := bash(sh(node1, strings.Replace(script, "ls -l", prefix+"ls -l", 1)))
		cmd.Dir = dir
		cmd.Stdin, _ = pipe(t)
		got[i] = run(t, cmd).out
	}
	if got[0] != got[1] || strings.Count(got[0], "\n") != 8 {
		t.Errorf("here\n%sthere\n%s", got[0], got[1])
	}
}

func TestAPipeAboveTwoHasItsEndsInBothDirections(t *testing.T) {
	node1, _, _ := three(t)
	// The job reads 7 to its end and answers on 8; whoever writes to 7 then hears that nobody reads it any more.
	inR, inW := pipe(t)
	outR, outW := pipe(t)
	cmd := with(node1.Command("mexec", "-n", "2", "sh", "-c", `while read l <&7; do echo "got $l" >&8; done; exec 7<&-; echo eof >&8; exec 8>&-; sleep 600`),
		map[int]*os.File{7: inR, 8: outW})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	inR.Close()
	outW.Close()
	buf := make([]byte, 1000)
	for i := range 5 {
		fmt.Fprintf(inW, "%d\n", i)
		if n, err := outR.Read(buf); string(buf[:n]) != fmt.Sprintf("got %d\n", i) || err != nil {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
	inW.Close()
	outR.SetReadDeadline(time.Now().Add(20 * time.Second))
	answer := make(chan string, 1)
	go func() { b, _ := io.ReadAll(outR); answer <- string(b) }()
	select { // while the program still runs: its stub holds no end of what it has closed
	case got := <-answer:
		if got != "eof\n" {
			t.Errorf("%q", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no end of file when the program has closed its end")
	}
}

func TestTheWriterOfAPipeAboveTwoHearsThatItsReaderIsGone(t *testing.T) {
	node1, _, _ := three(t)
	inR, inW := pipe(t)
	cmd := with(node1.Command("mexec", "-n", "2", "sh", "-c", `read l <&7; exec 7<&-; sleep 600`), map[int]*os.File{7: inR})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	inR.Close()
	inW.WriteString("line\n")
	eventually(t, "the writer has EPIPE", func() bool {
		_, err := inW.WriteString("x")
		return err != nil
	})
	// And the other way: the program hears that the caller's reader is gone.
	outR, outW := pipe(t)
	yes := with(node1.Command("mexec", "-n", "2", "sh", "-c", `exec yes >&7`), map[int]*os.File{7: outW})
	if err := yes.Start(); err != nil {
		t.Fatal(err)
	}
	outW.Close()
	outR.Read(make([]byte, 1))
	outR.Close()
	late := time.AfterFunc(20*time.Second, func() { yes.Process.Kill() })
	yes.Wait()
	if sig := ended(yes.ProcessState); !late.Stop() || sig != unix.SIGPIPE {
		t.Errorf("%v, want death by SIGPIPE", yes.ProcessState)
	}
}

func TestNothingIsTakenOfAPipeAboveTwoThatTheProgramDoesNotRead(t *testing.T) {
	node1, _, _ := three(t)
	for _, c := range []struct {
		script      string
		read, extra int
	}{
		{"true", 0, 0},
		{"sleep 0.3", 0, 0},
		{"python3 -c 'import select; select.select([4], [], [], 0.3)' 4</dev/null", 0, 0},
		{"dd bs=10 count=1 status=none <&7", 10, 4096},
		{"dd bs=1000 count=20 iflag=fullblock status=none <&7", 20000, 4096},
		{"cat <&7", 60000, 0},
	} {
		r, w := pipe(t)
		data := strings.Repeat("0123456789", 6000)
		w.WriteString(data)
		w.Close()
		got := run(t, with(node1.Command("mexec", "-n", "2", "sh", "-c", c.script), map[int]*os.File{7: r}))
		if got.code != 0 || got.out != data[:c.read] {
			t.Errorf("%s: read %d bytes, %+v", c.script, len(got.out), got.errs)
		}
		if taken := len(data) - unread(t, r); taken < c.read || taken > c.read+c.extra {
			t.Errorf("%s: %d bytes are gone, %d were read", c.script, taken, c.read)
		}
	}
}

func TestASocketAboveTwoTalksInBothDirections(t *testing.T) {
	node1, _, _ := three(t)
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := os.NewFile(uintptr(p[0]), "theirs"), os.NewFile(uintptr(p[1]), "ours")
	t.Cleanup(func() { theirs.Close(); ours.Close() })
	const script = `import socket
s = socket.socket(fileno=7)
f = s.makefile("r")
for l in f:
	s.sendall(("got " + l).encode())
s.sendall(b"end"); s.shutdown(socket.SHUT_WR); print("done", flush=True); input()`
	in, inW := pipe(t)
	cmd := with(node1.Command("mexec", "-n", "2", "python3", "-c", script), map[int]*os.File{7: theirs})
	cmd.Stdin = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill(); ours.Close(); unix.Shutdown(p[1], unix.SHUT_RDWR) })
	defer late.Stop()
	buf := make([]byte, 1000)
	for i := range 5 {
		fmt.Fprintf(ours, "%d\n", i)
		if n, err := ours.Read(buf); string(buf[:n]) != fmt.Sprintf("got %d\n", i) || err != nil {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
	unix.Shutdown(p[1], unix.SHUT_WR)
	rest, err := io.ReadAll(ours) // its end comes by shutdown: the program still runs, and the caller has the socket open
	if string(rest) != "end" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	fmt.Fprintln(inW)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// A caller that keeps its socket can go on talking after a command that has used it too.
func TestASocketOutlivesTheCommandThatHadIt(t *testing.T) {
	node1, _, _ := three(t)
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := os.NewFile(uintptr(p[0]), "theirs"), os.NewFile(uintptr(p[1]), "ours")
	t.Cleanup(func() { theirs.Close(); ours.Close() })
	for range 3 {
		if r := run(t, with(node1.Command("mexec", "-n", "2", "sh", "-c", "echo job >&7"), map[int]*os.File{7: theirs})); r.code != 0 {
			t.Fatalf("%+v", r)
		}
		if _, err := theirs.WriteString("caller\n"); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		n, _ := io.ReadAtLeast(ours, buf, len("job\ncaller\n"))
		if string(buf[:n]) != "job\ncaller\n" {
			t.Errorf("%q", buf[:n])
		}
	}
}

func TestALotGoesThroughSeveralPipesAtOnce(t *testing.T) {
	node1, _, _ := three(t)
	const script = `exec 3< <(seq 300000) 4< <(seq 300000 | tac); mexec -n 2 sh -c 'cat <&3 >&5 & cat <&4 >&6; wait' 5> >(sha1sum >five) 6> >(sha1sum >six)
while ! [ -s five ] || ! [ -s six ]; do sleep 0.01; done; seq 300000 | sha1sum | cmp - five; seq 300000 | tac | sha1sum | cmp - six`
	cmd := bash(sh(node1, script))
	cmd.Dir = place(t)
	if r := run(t, cmd); r.code != 0 || r.out+r.errs != "" {
		t.Errorf("%+v", r)
	}
}

func TestDescriptorsAboveTwoLeaveNothingBehind(t *testing.T) {
	node1, node2, _ := three(t)
	dir := place(t)
	write(t, filepath.Join(dir, "file"), strings.Repeat("x\n", 1000))
	const script = `for i in $(seq $1); do
mexec -n 2 cat 5<file 6>>log 7< <(echo a) 8> >(cat >/dev/null) <&7 >/dev/null
mexec -n 2 true 7< <(yes) <file
mexec -n 2 sh -c 'kill -9 $$' 7< <(sleep 5) 6<>file
timeout -s KILL 0.1 mexec -n 2 cat 5<file 7< <(sleep 1) <&7
done 2>/dev/null; wait; true`
	rush := func(n int) {
		cmd := bash(sh(node1, script, fmt.Sprint(n)))
		cmd.Dir = dir
		if r := run(t, cmd); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	both := []*hosts.Host{node1, node2}
	rush(3)
	var before [2]int
	for i, h := range both {
		before[i] = rest(t, node1, h)
	}
	rush(15)
	for i, h := range both {
		if now := rest(t, node1, h); now > before[i] {
			open, _, _ := descriptors(h)
			t.Errorf("%s: %d descriptors, %d before: %v", h.Name, now, before[i], open)
		}
	}
}

// rest is how many descriptors a host's daemon has open once it is at rest.
func rest(t *testing.T, from, h *hosts.Host) (open int) {
	t.Helper()
	last, same := -1, 0
	eventually(t, h.Name+" is at rest", func() bool {
		if _, open, _ = descriptors(h); open == last && idle(t, from, h) {
			same++
		} else {
			last, same = open, 0
		}
		return same == 20
	})
	return open
}
