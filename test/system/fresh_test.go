package system_test

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// On NFS a directory is looked at afresh when it is opened. What can be seen without NFS is that it is: after the command has written,
// and before its status is there.
func TestTheDirectoryIsOpenedAnewBeforeTheStatusIsThere(t *testing.T) {
	node1, _, _ := three(t)
	dir := place(t)
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	watch := os.NewFile(uintptr(fd), "inotify")
	defer watch.Close()
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_OPEN|unix.IN_CREATE); err != nil {
		t.Fatal(err)
	}
	cmd := node1.Command("mexec", "-n", "2", "touch", "made")
	cmd.Dir = dir
	if r := run(t, cmd); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	var buf [4096]byte
	n, err := watch.Read(buf[:]) // all of it has happened
	if err != nil {
		t.Fatal(err)
	}
	made, opened := false, false
	for at := 0; at+unix.SizeofInotifyEvent <= n; {
		mask := binary.NativeEndian.Uint32(buf[at+4:])
		made = made || mask&unix.IN_CREATE != 0
		opened = opened || made && mask&unix.IN_OPEN != 0 && mask&unix.IN_ISDIR != 0
		at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[at+12:]))
	}
	if !made || !opened {
		t.Errorf("the file was made here: %v; the directory was opened after that: %v", made, opened)
	}
}
