package descriptor

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Caller is where a caller's descriptors are held: our copies of them, and the process that they are from.
type Caller struct {
	PID int
	FDs map[int]int // by the caller's numbers
}

// Look asks the kernel about the caller's descriptor n. below are the facts of those of lower numbers that n may be the same as.
func (c Caller) Look(n int, below []Facts) (Facts, error) {
	fd := c.FDs[n]
	f := Facts{Number: n, Twin: -1, Peer: -1}
	if err := unix.Fstat(fd, &f.Stat); err != nil {
		return f, fmt.Errorf("fstat descriptor %d: %w", n, err)
	}
	var err error
	if f.Flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil {
		return f, fmt.Errorf("fcntl descriptor %d: %w", n, err)
	}
	self := "/proc/self/fd/" + strconv.Itoa(fd)
	if f.Link, err = os.Readlink(self); err != nil {
		return f, err
	}
	for _, b := range below {
		if b.Stat.Dev != f.Stat.Dev || b.Stat.Ino != f.Stat.Ino {
			continue
		}
		if oneFile(fd, c.FDs[b.Number]) {
			f.Twin = b.Number
			break
		}
		if f.Peer < 0 {
			f.Peer = b.Number
		}
	}
	switch f.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR:
		var at unix.Stat_t
		f.Reachable = unix.Stat(f.Link, &at) == nil && at.Dev == f.Stat.Dev && at.Ino == f.Stat.Ino
		f.Offset, _ = unix.Seek(fd, 0, io.SeekCurrent)
		f.Locked = c.locked(n)
		f.fileSystem(fd)
		unix.ClockGettime(unix.CLOCK_REALTIME, &f.Taken)
	case unix.S_IFCHR:
		_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		f.Terminal = err == nil
	case unix.S_IFSOCK:
		f.Socket.Type, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		listening, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		f.Socket.Listening = listening != 0
		_, err := unix.Getpeername(fd)
		f.Socket.Connected = err == nil
	}
	return f, nil
}

// fileSystem finds the type of the file system, and brings what the caller has written to a server, which is where other nodes look.
func (f *Facts) fileSystem(fd int) {
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) != nil {
		return
	}
	f.FS = int64(fs.Type)
	if f.Flags&unix.O_ACCMODE != unix.O_RDONLY && remote(uint64(fs.Type)) {
		unix.Fsync(fd)
		unix.Fstat(fd, &f.Stat)
	}
}

// remote says whether a file system keeps its files on another machine and may hold back what was written.
func remote(fs uint64) bool {
	switch uint32(fs) {
	case unix.NFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC,
		unix.AFS_SUPER_MAGIC, unix.OCFS2_SUPER_MAGIC:
		return true
	}
	return false
}

// oneFile says whether two descriptors are one open file.
func oneFile(a, b int) bool {
	const kcmpFile = 0
	pid := uintptr(os.Getpid())
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, kcmpFile, uintptr(a), uintptr(b), 0)
	return errno == 0 && order == 0
}

// locked says whether a lock is held through a descriptor. It is the caller that is asked: a lock of fcntl(2) is a process's.
func (c Caller) locked(n int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", c.PID, n))
	if err != nil {
		b, _ = os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", c.FDs[n]))
	}
	return bytes.Contains(b, []byte("\nlock:"))
}

// Inode is the inode number of an open file.
func Inode(f *os.File) (uint64, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return st.Ino, err
}

// Restore sets the position of a caller's open file, where the job has moved in it, and drops what is cached of a file that it may have written.
func Restore(fd int, offset int64) {
	unix.Seek(fd, offset, io.SeekStart)
	var st unix.Statx_t
	unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &st)
}
