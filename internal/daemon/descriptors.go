package daemon

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"mexec/internal/descriptor"
	"mexec/internal/wire/mexecpb"
)

// The caller's descriptors above 2, and descriptor 0 where it is a file: what they are, which may travel, where the job has left them.

// look finds out how the descriptors above 2 travel. It says why the command must stay here, empty if it need not.
func (c *caller) look() string {
	if n := c.exec.Unsent; n > 0 {
		return fmt.Sprintf("%d descriptors above 2 are open, more than can travel", n)
	}
	if len(c.exec.Descriptors) == 0 {
		return ""
	}
	who := c.descriptors()
	var facts []descriptor.Facts
	for n := range c.fds {
		if c.fds[n] >= 0 {
			f, err := who.Look(n, facts)
			if err != nil {
				return err.Error()
			}
			facts = append(facts, f)
		}
	}
	for _, n := range c.exec.Descriptors {
		f, err := who.Look(int(n), facts)
		if err != nil {
			return err.Error()
		}
		facts = append(facts, f)
	}
	claimed := c.claim(facts)
	lower := map[int]descriptor.Route{}
	for _, f := range facts {
		if f.Number <= 2 {
			continue
		}
		r := descriptor.Route{Facts: f, Way: descriptor.Supplied}
		if !claimed[f.Number] {
			r = descriptor.Plan(f, lower)
		}
		if r.Way == descriptor.Stay {
			return r.Why
		}
		lower[f.Number] = r
		c.routes = append(c.routes, r)
	}
	return ""
}

func (c *caller) descriptors() descriptor.Caller {
	who := descriptor.Caller{PID: c.cred.PID, FDs: map[int]int{}}
	for n, fd := range c.fds {
		who.FDs[n] = fd
	}
	for i, n := range c.exec.Descriptors {
		who.FDs[int(n)] = c.above[i]
	}
	return who
}

// describe says to a worker what the job is to find open. Files are looked at again: a job may have waited long for its node.
func (c *caller) describe(stdin mexecpb.Stdio) (list []*mexecpb.Descriptor) {
	if stdin == mexecpb.Stdio_STDIO_FILE {
		if r, ok := c.stdinFile(); ok {
			list = append(list, file(r))
		}
	}
	var who descriptor.Caller
	for _, r := range c.routes {
		d := &mexecpb.Descriptor{Number: uint32(r.Number), Flags: uint32(r.Flags)}
		switch r.Way {
		case descriptor.File:
			if who.FDs == nil {
				who = c.descriptors()
			}
			if now, err := who.Look(r.Number, nil); err == nil {
				r.Facts = now
			}
			d = file(r)
		case descriptor.Same:
			same := uint32(r.Same)
			d.Same = &same
		case descriptor.Supplied:
			d.Supplied = true
		case descriptor.Stream:
			switch {
			case r.Read && r.Write:
				d.Stream = mexecpb.Stream_STREAM_SOCKET
			case r.Read && c.writes(r.Facts):
				d.Stream = mexecpb.Stream_STREAM_POOL
			case r.Read:
				d.Stream = mexecpb.Stream_STREAM_READ
			default:
				d.Stream = mexecpb.Stream_STREAM_WRITE
			}
		}
		list = append(list, d)
	}
	return list
}

// writes says whether the caller can write to the pipe that f reads from.
func (c *caller) writes(f descriptor.Facts) bool {
	return slices.ContainsFunc(c.routes, func(r descriptor.Route) bool {
		return r.Way == descriptor.Stream && r.Write && r.Stat.Dev == f.Stat.Dev && r.Stat.Ino == f.Stat.Ino
	})
}

// stdinFile is the route of a regular file at descriptor 0. Where it is also the output's open file, it is relayed like that.
func (c *caller) stdinFile() (descriptor.Route, bool) {
	who := c.descriptors()
	f, err := who.Look(0, nil)
	if err != nil {
		return descriptor.Route{}, false
	}
	for n := 1; n <= 2; n++ {
		if out, err := who.Look(n, []descriptor.Facts{f}); c.fds[n] >= 0 && (err != nil || out.Twin == 0) {
			return descriptor.Route{}, false
		}
	}
	r := descriptor.Plan(f, nil)
	return r, r.Way == descriptor.File && r.Read
}

func file(r descriptor.Route) *mexecpb.Descriptor {
	f := &mexecpb.File{
		Path: []byte(r.Link), Mode: r.Stat.Mode, Rdev: r.Stat.Rdev, Offset: r.Offset,
		Dev: r.Stat.Dev, Ino: r.Stat.Ino, Fs: uint64(r.FS),
		CtimeSec: r.Stat.Ctim.Sec, CtimeNsec: uint32(r.Stat.Ctim.Nsec), TakenSec: r.Taken.Sec, TakenNsec: uint32(r.Taken.Nsec),
	}
	if f.Mode&unix.S_IFMT == unix.S_IFCHR {
		f.Path = []byte(descriptor.DevicePath(f.Rdev))
	}
	return &mexecpb.Descriptor{Number: uint32(r.Number), Flags: uint32(r.Flags), File: f}
}

// restore sets the positions of the caller's files to where the job has left them.
func (c *caller) restore(positions []*mexecpb.Position) {
	if len(positions) == 0 {
		return
	}
	who := c.descriptors()
	for _, p := range positions {
		n := int(p.Number)
		travelled := slices.ContainsFunc(c.routes, func(r descriptor.Route) bool { return r.Number == n && r.Way == descriptor.File })
		if n == 0 && c.fds[0] >= 0 || travelled {
			descriptor.Restore(who.FDs[n], p.Offset)
		}
	}
}
