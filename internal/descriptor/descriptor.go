// Package descriptor says how each of a caller's descriptors gets to a job on another node, or why it can't.
//
// Look asks the kernel for the facts, Plan decides by them and by nothing else. What travels is all or nothing: one descriptor that can't
// keeps the command at home, since a program that finds one of its descriptors missing or changed fails in ways nobody can explain.
package descriptor

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Way is how a descriptor travels.
type Way int

const (
	Stay     Way = iota // it can't
	File                // opened at the same place there
	Stream              // relayed
	Supplied            // by another part of the worker
	Same                // it is the same open file as one of a lower number
)

// Facts are what the kernel says of one descriptor of a caller.
type Facts struct {
	Number    int
	Stat      unix.Stat_t
	Flags     int    // of F_GETFL
	Link      string // what /proc shows as its name
	Reachable bool   // its name leads to it
	Locked    bool   // it holds a lock or a lease
	Terminal  bool
	Socket    Socket
	Offset    int64
	FS        int64         // type of its file system
	Taken     unix.Timespec // when Look looked

	// Twin is a descriptor of a lower number that is the same open file, Peer one that is another open file of the same pipe, socket or
	// terminal; -1: none.
	Twin, Peer int
}

// Socket are the facts of a socket.
type Socket struct {
	Type      int
	Listening bool
	Connected bool
}

// Route is the decision about one descriptor.
type Route struct {
	Facts
	Way         Way
	Same        int
	Read, Write bool   // what the job may do with a stream
	Why         string // Stay: the reason, for people
}

// Plan decides about a descriptor above 2, or about descriptor 0 where it is a regular file. lower are the routes of those
// below it; 0 to 2 are relayed and not among them, so that a twin below 3 needs no route.
func Plan(f Facts, lower map[int]Route) Route {
	r := Route{Facts: f, Same: -1}
	r.Read = f.Flags&unix.O_ACCMODE != unix.O_WRONLY
	r.Write = f.Flags&unix.O_ACCMODE != unix.O_RDONLY
	stay := func(format string, args ...any) Route {
		r.Way, r.Why = Stay, fmt.Sprintf("descriptor %d is ", f.Number)+fmt.Sprintf(format, args...)
		return r
	}
	same := func(n int) Route {
		r.Way, r.Same = Same, n
		return r
	}
	if f.Flags&unix.O_PATH != 0 {
		return stay("a place only (O_PATH)")
	}
	if kind, ok := anonymous(f.Link); ok {
		return stay("%s", kind)
	}
	if f.Locked {
		return stay("%s with a lock held on it", f.Link)
	}
	socket := f.Stat.Mode&unix.S_IFMT == unix.S_IFSOCK
	if f.Twin >= 0 && !(socket && f.Twin < 3) {
		if l, ok := lower[f.Twin]; f.Twin < 3 || ok && l.Way != Stay {
			return same(f.Twin)
		}
	}
	switch f.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR:
		if f.Stat.Nlink == 0 {
			return stay("a file that has been deleted")
		}
		if !f.Reachable {
			return stay("%s, which is not to be found by that name", f.Link)
		}
		r.Way = File
	case unix.S_IFCHR:
		switch {
		case standard(f.Stat.Rdev):
			r.Way = File
		case f.Terminal && f.Peer >= 0 && f.Peer < 3:
			return same(f.Peer)
		case f.Terminal:
			return stay("a terminal that none of 0, 1 and 2 is")
		default:
			return stay("a device (%s)", f.Link)
		}
	case unix.S_IFIFO:
		if r.Read && r.Write {
			return stay("a FIFO that is open for reading and writing")
		}
		r.Way = Stream
	case unix.S_IFSOCK:
		switch s := f.Socket; {
		case s.Type != unix.SOCK_STREAM:
			return stay("a socket that is no stream")
		case s.Listening:
			return stay("a listening socket")
		case !s.Connected:
			return stay("a socket without a peer")
		case f.Twin == 1 || f.Twin == 2:
			return same(f.Twin) // what a shell makes by 3>&1
		case f.Twin == 0:
			return stay("the socket that descriptor 0 is")
		}
		r.Way = Stream
	case unix.S_IFBLK:
		return stay("a block device (%s)", f.Link)
	default:
		return stay("of a kind that is not known (%s)", f.Link)
	}
	return r
}

// anonymous names what has no place in any directory.
func anonymous(link string) (string, bool) {
	if strings.HasPrefix(link, "/memfd:") {
		return "a memory file", true
	}
	if strings.HasPrefix(link, "pidfd:") {
		return "a process descriptor", true
	}
	kind, ok := strings.CutPrefix(link, "anon_inode:")
	if !ok {
		return "", false
	}
	known := map[string]string{
		"[eventpoll]": "an epoll instance", "[eventfd]": "an eventfd", "[signalfd]": "a signalfd", "[timerfd]": "a timerfd",
		"inotify": "an inotify instance", "[fanotify]": "a fanotify group", "[pidfd]": "a process descriptor", "[io_uring]": "an io_uring",
	}
	if name, ok := known[kind]; ok {
		return name, true
	}
	return "a kernel object (" + strings.Trim(kind, "[]") + ")", true
}

// standard says whether a device is one that every machine has and that remembers nothing: null, zero, full, random, urandom.
func standard(rdev uint64) bool {
	if unix.Major(rdev) != 1 {
		return false
	}
	switch unix.Minor(rdev) {
	case 3, 5, 7, 8, 9:
		return true
	}
	return false
}

// DevicePath is where a standard device is on every machine, whatever name the caller's has.
func DevicePath(rdev uint64) string {
	return "/dev/" + map[uint32]string{3: "null", 5: "zero", 7: "full", 8: "random", 9: "urandom"}[unix.Minor(rdev)]
}
