package daemon

import (
	"os"

	"golang.org/x/sys/unix"

	"mexec/internal/descriptor"
	"mexec/internal/jobserver"
	"mexec/internal/wire/mexecpb"
)

// A part of the daemon may take some of a job's descriptors out of the hands of descriptors.go: at home it claims their numbers, on the
// worker it supplies what the job finds there. The jobserver does, for the two ends of its pipe.

// claim returns the numbers above 2 that something else on the worker will supply. That a make has named two numbers proves nothing: it does so for
// every line, and leaves its pipe open for recursive ones only, so that another line may have files there.
func (c *caller) claim(facts []descriptor.Facts) map[int]bool {
	auth, ok := jobserver.Find(c.exec.Env)
	if !ok || auth.Fifo != "" {
		return nil
	}
	var r, w *descriptor.Facts
	for i := range facts {
		f := &facts[i]
		pipe := f.Number > 2 && f.Stat.Mode&unix.S_IFMT == unix.S_IFIFO
		switch {
		case pipe && f.Number == auth.Read && f.Flags&unix.O_ACCMODE == unix.O_RDONLY:
			r = f
		case pipe && f.Number == auth.Write && f.Flags&unix.O_ACCMODE == unix.O_WRONLY:
			w = f
		}
	}
	if r == nil || w == nil || r.Stat.Dev != w.Stat.Dev || r.Stat.Ino != w.Stat.Ino {
		return nil
	}
	return map[int]bool{r.Number: true, w.Number: true}
}

// descriptor is our descriptor for what was claimed of the caller at number n, -1 if it was not.
func (c *caller) descriptor(n int) int {
	for _, r := range c.routes {
		if r.Number == n && r.Way == descriptor.Supplied {
			return c.descriptors().FDs[n]
		}
	}
	return -1
}

// supply returns the job's end for a claimed number, nil where there is none.
func supply(d *mexecpb.Descriptor, j *mexecpb.Jobserver, ends [2]*os.File) *os.File {
	switch d.Number {
	case j.GetRead():
		return ends[0]
	case j.GetWrite():
		return ends[1]
	}
	return nil
}
