// Package demand sees whether a process waits to read from a pipe, a socket or a terminal.
//
// A worker asks before anything is taken out of a caller's pipe above descriptor 2, or of what was typed: what the job never reads must stay
// there for others, and neither a pipe nor a terminal tells who waits for it. /proc/PID/syscall tells, of a process that is blocked.
// /proc/PID/wchan was refused: it has the names of functions in the kernel, which change.
//
// A process that can't be looked at counts as waiting. Of one that has the file open and is in a call that is not known, Unknown is said: for a
// pipe that is a yes, or a job could hang for ever; a terminal is asked for too often to be wrong so often. What never blocks (poll with a timeout
// of 0, FIONREAD) is not seen.
package demand

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// File is what may be waited for: a pipe or socket by its inode number, or a terminal by its device number.
type File struct {
	Inode  uint64
	Device uint64
}

// How many bytes a file is waited for; 0: nobody waits.
const (
	Any     = math.MaxInt // it is not said how many
	Unknown = -1          // perhaps some
)

// Waited says for which of the files the processes wait, and for how many bytes.
func Waited(pids []int, files ...File) map[File]int {
	waited := make(map[File]int)
	for _, pid := range pids {
		p := process{pid: pid, files: files}
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, t := range tasks {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/syscall", pid, t.Name()))
			switch {
			case gone(err):
			case errors.Is(err, fs.ErrPermission):
				for _, f := range files {
					waited[f] = Any
				}
			default:
				p.reads(parse(string(b)), func(f File, bytes int) {
					if was := waited[f]; was <= 0 || bytes > was {
						waited[f] = bytes
					}
				})
			}
		}
	}
	return waited
}

// Held says whether any of the processes has a file open.
func Held(pids []int, f File) bool {
	for _, pid := range pids {
		p := process{pid: pid, files: []File{f}}
		held := false
		p.each(p.open(), func(File) { held = true })
		if held {
			return true
		}
	}
	return false
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }

// process is one that may wait for some files.
type process struct {
	pid   int
	files []File
}

// open are all its descriptors.
func (p process) open() (fds []int) {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
	for _, e := range list {
		if fd, err := strconv.Atoi(e.Name()); err == nil {
			fds = append(fds, fd)
		}
	}
	return fds
}

// each calls found with those of the files that descriptors are.
func (p process) each(fds []int, found func(File)) {
	for _, fd := range fds {
		var st unix.Statx_t
		// Its server must not be asked: it may be dead.
		err := unix.Statx(unix.AT_FDCWD, fmt.Sprintf("/proc/%d/fd/%d", p.pid, fd), unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE|unix.STATX_INO, &st)
		if err != nil {
			continue
		}
		device := unix.Mkdev(st.Rdev_major, st.Rdev_minor)
		for _, f := range p.files {
			is := false
			switch st.Mode & unix.S_IFMT {
			case unix.S_IFIFO, unix.S_IFSOCK:
				is = f.Device == 0 && f.Inode == st.Ino
			case unix.S_IFCHR:
				is = f.Device != 0 && (f.Device == device || device == unix.Mkdev(5, 0)) // its own one may be open as /dev/tty
			}
			if is {
				found(f)
			}
		}
	}
}

// how says what a system call waits for.
type how int

const (
	unknown  how = iota
	nothing      // not for something to read
	first        // its first argument is a descriptor that it reads
	second       // its second
	counted      // as first, and the third is how many bytes
	polls        // pollfds, and their number
	selects      // a number, and a set of descriptors to read
	epolls       // an epoll instance
	standing     // it runs
)

// call is a line of /proc/PID/syscall.
type call struct {
	how  how
	args [6]uint64
}

func parse(line string) call {
	f := strings.Fields(line)
	if len(f) > 0 && (f[0] == "running" || f[0] == "-1") {
		return call{how: standing}
	}
	if len(f) < 7 {
		return call{}
	}
	number, err := strconv.Atoi(f[0])
	if err != nil {
		return call{}
	}
	c := call{how: calls[number]}
	for i := range c.args {
		if c.args[i], err = strconv.ParseUint(strings.TrimPrefix(f[1+i], "0x"), 16, 64); err != nil {
			return call{}
		}
	}
	return c
}

// reads tells of the files that a call waits for.
func (p process) reads(c call, waits func(f File, bytes int)) {
	fds, bytes, known := p.wanted(c)
	if !known {
		fds, bytes = p.open(), Unknown
	}
	p.each(fds, func(f File) { waits(f, bytes) })
}

// wanted are the descriptors that a call waits for.
func (p process) wanted(c call) (fds []int, bytes int, known bool) {
	switch c.how {
	case nothing, standing:
		return nil, 0, true
	case first:
		return []int{int(int32(c.args[0]))}, Any, true
	case second:
		return []int{int(int32(c.args[1]))}, Any, true
	case counted:
		return []int{int(int32(c.args[0]))}, int(min(max(c.args[2], 1), Any)), true
	case polls:
		b, ok := p.memory(c.args[0], c.args[1]*8)
		return polled(b), Any, ok
	case selects:
		if c.args[1] == 0 {
			return nil, 0, true
		}
		b, ok := p.memory(c.args[1], (c.args[0]+63)/64*8)
		return selected(b, int(c.args[0])), Any, ok
	case epolls:
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", p.pid, int32(c.args[0])))
		return epolled(string(b)), Any, err == nil
	}
	return nil, 0, false
}

// memory reads a process's memory.
func (p process) memory(at, n uint64) ([]byte, bool) {
	if n == 0 || n > 1<<16 {
		return nil, n == 0
	}
	b := make([]byte, n)
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	got, err := unix.ProcessVMReadv(p.pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: int(n)}}, 0)
	if err != nil || got != int(n) {
		return nil, false
	}
	return b, true
}

const readable = unix.POLLIN | 0x40 | unix.POLLRDHUP // 0x40 is POLLRDNORM

// polled are the descriptors of pollfds that are asked for something to read.
func polled(b []byte) (fds []int) {
	for ; len(b) >= 8; b = b[8:] {
		if fd := int32(binary.NativeEndian.Uint32(b)); fd >= 0 && binary.NativeEndian.Uint16(b[4:])&readable != 0 {
			fds = append(fds, int(fd))
		}
	}
	return fds
}

// selected are those of a set below n.
func selected(b []byte, n int) (fds []int) {
	for fd := range min(n, 8*len(b)) {
		if binary.NativeEndian.Uint64(b[fd/64*8:])>>(fd%64)&1 != 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// epolled is the same of an epoll instance, from its fdinfo: "tfd:        5 events:       19 data: …", in base 16.
func epolled(info string) (fds []int) {
	for line := range strings.Lines(info) {
		f := strings.Fields(line)
		if len(f) < 4 || f[0] != "tfd:" {
			continue
		}
		fd, err := strconv.Atoi(f[1])
		events, eerr := strconv.ParseUint(f[3], 16, 64)
		if err == nil && (eerr != nil || events&readable != 0) {
			fds = append(fds, fd)
		}
	}
	return fds
}
