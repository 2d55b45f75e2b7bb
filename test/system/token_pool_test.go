package system_test

import (
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Make 4.3 reads its jobserver without blocking, and a nested make that was told -j of its own leaves both ends open for all it starts. A recipe
// on another node took the tokens along: "INTERNAL: Exiting with 1 jobserver tokens available; should be 2!"
func TestTokensInAPipeStayWhenTheJobDoesNotReadThem(t *testing.T) {
	node1, _, _ := three(t)
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	if err := unix.SetNonblock(p[0], true); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(p[1], []byte("+++")); err != nil {
		t.Fatal(err)
	}
	cmd := node1.Command("mexec", "-n", "2", "sh", "-c", "sleep 0.3; read node </proc/sys/kernel/hostname; [ $node = node2 ]")
	// Not by os/exec, which makes descriptors blocking before it hands them on.
	pid, err := syscall.ForkExec(cmd.Path, cmd.Args, &syscall.ProcAttr{
		Dir: place(t), Env: cmd.Env, Files: []uintptr{os.Stdin.Fd(), os.Stdout.Fd(), os.Stderr.Fd(), uintptr(p[0]), uintptr(p[1])},
	})
	if err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status != 0 {
		t.Fatalf("%v, wait status %#x", err, status)
	}
	if left, err := unix.IoctlGetInt(p[0], unix.TIOCINQ); err != nil || left != 3 {
		t.Errorf("%d of 3 tokens are left: %v", left, err)
	}
}
