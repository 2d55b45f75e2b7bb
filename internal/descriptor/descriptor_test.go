package descriptor

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatTravelsAndHow(t *testing.T) {
	const none = -1
	null, sda, tty := unix.Mkdev(1, 3), unix.Mkdev(8, 0), unix.Mkdev(136, 1)
	stream := Socket{Type: unix.SOCK_STREAM, Connected: true}
	for _, c := range []struct {
		name string
		f    Facts
		mode uint32
		rdev uint64
		link uint64
		way  Way
		same int
		why  string
	}{
		{"a file", Facts{Link: "/src/a", Reachable: true}, unix.S_IFREG, 0, 1, File, none, ""},
		{"a directory", Facts{Link: "/src", Reachable: true}, unix.S_IFDIR, 0, 2, File, none, ""},
		{"deleted", Facts{Link: "/src/a (deleted)"}, unix.S_IFREG, 0, 0, Stay, none, "a file that has been deleted"},
		{"renamed over", Facts{Link: "/src/a"}, unix.S_IFREG, 0, 1, Stay, none, "/src/a, which is not to be found by that name"},
		{"locked", Facts{Link: "/src/a", Reachable: true, Locked: true}, unix.S_IFREG, 0, 1, Stay, none, "/src/a with a lock held on it"},
		{"O_PATH", Facts{Link: "/src/a", Reachable: true, Flags: unix.O_PATH}, unix.S_IFREG, 0, 1, Stay, none, "a place only (O_PATH)"},
		{"memfd", Facts{Link: "/memfd:x (deleted)"}, unix.S_IFREG, 0, 0, Stay, none, "a memory file"},
		{"epoll", Facts{Link: "anon_inode:[eventpoll]"}, 0, 0, 1, Stay, none, "an epoll instance"},
		{"inotify", Facts{Link: "anon_inode:inotify"}, 0, 0, 1, Stay, none, "an inotify instance"},
		{"unknown", Facts{Link: "anon_inode:[bpf-map]"}, 0, 0, 1, Stay, none, "a kernel object (bpf-map)"},
		{"null", Facts{Link: "/dev/null"}, unix.S_IFCHR, null, 1, File, none, ""},
		{"a device", Facts{Link: "/dev/kvm"}, unix.S_IFCHR, unix.Mkdev(10, 232), 1, Stay, none, "a device (/dev/kvm)"},
		{"a disk", Facts{Link: "/dev/sda"}, unix.S_IFBLK, sda, 1, Stay, none, "a block device (/dev/sda)"},
		{"a pipe", Facts{Link: "pipe:[1]"}, unix.S_IFIFO, 0, 1, Stream, none, ""},
		{"a pipe's other end", Facts{Link: "pipe:[1]", Flags: unix.O_WRONLY, Peer: 5}, unix.S_IFIFO, 0, 1, Stream, none, ""},
		{"a FIFO both ways", Facts{Link: "/f", Flags: unix.O_RDWR}, unix.S_IFIFO, 0, 1, Stay, none, "a FIFO that is open for reading and writing"},
		{"a socket", Facts{Flags: unix.O_RDWR, Socket: stream}, unix.S_IFSOCK, 0, 1, Stream, none, ""},
		{"datagrams", Facts{Flags: unix.O_RDWR, Socket: Socket{Type: unix.SOCK_DGRAM, Connected: true}}, unix.S_IFSOCK, 0, 1, Stay, none, "a socket that is no stream"},
		{"a server", Facts{Flags: unix.O_RDWR, Socket: Socket{Type: unix.SOCK_STREAM, Listening: true}}, unix.S_IFSOCK, 0, 1, Stay, none, "a listening socket"},
		{"unconnected", Facts{Flags: unix.O_RDWR, Socket: Socket{Type: unix.SOCK_STREAM}}, unix.S_IFSOCK, 0, 1, Stay, none, "a socket without a peer"},
		{"3>&1 of a socket", Facts{Flags: unix.O_RDWR, Socket: stream, Twin: 1}, unix.S_IFSOCK, 0, 1, Same, 1, ""},
		{"3<&0 of a socket", Facts{Flags: unix.O_RDWR, Socket: stream, Twin: 0}, unix.S_IFSOCK, 0, 1, Stay, none, "the socket that descriptor 0 is"},
		{"3>&1", Facts{Flags: unix.O_WRONLY, Twin: 1}, unix.S_IFIFO, 0, 1, Same, 1, ""},
		{"a deleted file that is descriptor 1", Facts{Flags: unix.O_WRONLY, Twin: 1}, unix.S_IFREG, 0, 0, Same, 1, ""},
		{"the same as 5", Facts{Link: "/src/a", Reachable: true, Twin: 5}, unix.S_IFREG, 0, 1, Same, 5, ""},
		{"the terminal of 2", Facts{Flags: unix.O_RDWR, Terminal: true, Peer: 2}, unix.S_IFCHR, tty, 1, Same, 2, ""},
		{"another terminal", Facts{Flags: unix.O_RDWR, Terminal: true}, unix.S_IFCHR, tty, 1, Stay, none, "a terminal that none of 0, 1 and 2 is"},
	} {
		f := c.f
		f.Number, f.Stat.Mode, f.Stat.Rdev, f.Stat.Nlink = 7, c.mode|0o600, c.rdev, c.link
		if f.Twin == 0 && !strings.Contains(c.name, "<&0") {
			f.Twin = none
		}
		if f.Peer == 0 {
			f.Peer = none
		}
		r := Plan(f, map[int]Route{5: {Way: File}})
		why := strings.TrimPrefix(r.Why, "descriptor 7 is ")
		if r.Way != c.way || r.Same != c.same || why != c.why {
			t.Errorf("%s: %v, same as %d, %q", c.name, r.Way, r.Same, r.Why)
		}
	}
}
