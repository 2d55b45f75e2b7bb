package spawn

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"mexec/internal/wire"
)

// Descriptor is one of a job's descriptors above 2; or descriptor 0 where it is a File, with Stdio[0] for when that can't be opened. One
// of Attached and Opened is not nil, or it is the Same open file as one of a lower number.
type Descriptor struct {
	Number   uint32
	Attached *os.File
	Nonblock bool // Attached is to be non-blocking; here it must not be, as os.File could not hand it on so
	Opened   *File
	Same     uint32
}

// File is a file that the stage opens as the job's user.
type File struct {
	Path   string
	Flags  uint32 // of open(2)
	Mode   uint32 // of fstat at the caller; its type counts
	Rdev   uint64 // of a device
	Offset int64
	Seen   Seen
}

// Seen is what identifies a file, as the caller's side saw it at the time Taken.
type Seen struct {
	Dev, Ino, FS uint64
	Ctime, Taken wire.Time
}

// Position is where a job has left one of its files.
type Position struct {
	Number uint32
	Offset int64
}

const (
	descriptorFile = 1 + iota
	descriptorAttached
	descriptorSame
)

// appendDescriptors encodes the stage frame's table.
func appendDescriptors(b []byte, list []Descriptor) []byte {
	b = le.AppendUint32(b, uint32(len(list)))
	for _, d := range list {
		kind, f := uint32(descriptorSame), &File{}
		switch {
		case d.Opened != nil:
			kind, f = descriptorFile, d.Opened
		case d.Attached != nil:
			kind = descriptorAttached
			if d.Nonblock {
				f.Flags = unix.O_NONBLOCK
			}
		}
		for _, v := range []uint32{d.Number, kind, f.Flags, d.Same, f.Mode, uint32(len(f.Path))} {
			b = le.AppendUint32(b, v)
		}
		s := &f.Seen
		for _, v := range []uint64{f.Rdev, uint64(f.Offset), s.Dev, s.Ino, s.FS, uint64(s.Ctime.Sec), uint64(s.Taken.Sec)} {
			b = le.AppendUint64(b, v)
		}
		b = le.AppendUint32(le.AppendUint32(b, s.Ctime.Nsec), s.Taken.Nsec)
		b = append(append(b, f.Path...), 0)
	}
	return b
}

// handed is a job's open file of which the stage has given us a copy, for its position.
type handed struct {
	number uint32
	file   int
	begin  int64
}

// opened takes the copies that came with a record. missed says why the stage could not open descriptor 0.
func (p *Process) opened(j *Job, files []int, missed syscall.Errno) {
	for _, d := range j.Descriptors {
		if d.Opened == nil || d.Opened.Mode&unix.S_IFMT == unix.S_IFCHR || d.Number == 0 && missed != 0 {
			continue
		}
		if len(files) == 0 {
			return
		}
		p.files = append(p.files, handed{d.Number, files[0], d.Opened.Offset})
		files = files[1:]
	}
}

// Opens says whether the stage has opened descriptor n itself. It is known when Start has returned, or Wait.
func (p *Process) Opens(n uint32) bool {
	for _, f := range p.files {
		if f.number == n {
			return true
		}
	}
	return false
}

// Moved are the positions of those of the job's files that it has left elsewhere than it found them. It may be asked after Release.
func (p *Process) Moved() []Position { return p.moved }

// settle looks where the job has left its files. Nothing of it runs any more.
func (p *Process) settle() {
	for _, f := range p.files {
		if at, err := unix.Seek(f.file, 0, io.SeekCurrent); err == nil && at != f.begin {
			p.moved = append(p.moved, Position{f.number, at})
		}
		unix.Close(f.file)
	}
	p.files = nil
}

// receive reads one record, and the descriptors that may have come with it.
func (p *Process) receive(buf []byte) (files []int, err error) {
	conn, err := p.channel.SyscallConn()
	if err != nil {
		return nil, err
	}
	room := make([]byte, unix.CmsgSpace(4*(wire.MaxDescriptors+1)))
	for have := 0; have < len(buf); {
		var n, oobn int
		rerr := conn.Read(func(fd uintptr) bool {
			for {
				n, oobn, _, _, err = unix.Recvmsg(int(fd), buf[have:], room, unix.MSG_CMSG_CLOEXEC)
				if err != unix.EINTR {
					return err != unix.EAGAIN
				}
			}
		})
		if err = errors.Join(rerr, err); err != nil {
			return files, err
		}
		msgs, _ := unix.ParseSocketControlMessage(room[:oobn])
		for i := range msgs {
			got, _ := unix.ParseUnixRights(&msgs[i])
			files = append(files, got...)
		}
		if n == 0 {
			if have == 0 {
				return files, io.EOF
			}
			return files, io.ErrUnexpectedEOF
		}
		have += n
	}
	return files, nil
}

// Pids are the processes of the job; none after Release, when its group may hold another.
func (p *Process) Pids() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.released {
		return nil
	}
	if p.group != nil {
		pids, _ := p.group.procs()
		return pids
	}
	return Below(p.stage, nil)
}

// Below adds all processes below one.
func Below(pid int, all []int) []int {
	tasks := "/proc/" + strconv.Itoa(pid) + "/task/"
	threads, _ := os.ReadDir(tasks)
	for _, t := range threads {
		b, _ := os.ReadFile(tasks + t.Name() + "/children")
		for _, field := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = Below(child, append(all, child))
			}
		}
	}
	return all
}
