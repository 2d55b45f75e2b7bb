// Package journal is what a build's drivers tell mpmake and mprun: which children they keep to themselves (mexec.Kept), and how each child that they wait
// for has ended, and what it has used (mexec.Reaped). No daemon can know either: what runs on this node is the driver's child.
//
// A driver is a make, or another tool, with the preload shim in it. All drivers of a build write into one ring of records in memory that they share
// with us (libmexec/journal.h, PROTOCOL.md §5), without a lock or a system call; we look there a few times a second.
//
// Promises: records come whole or not at all; those that were overwritten before we looked, or never finished since their writer was killed, are counted (Gaps). Events of one
// process come in their order. The usages of all Reaped, that of the tool itself (Tool) among them, add up to what the tool and all below it have used: of a nested make, it is its own
// part only. The most memory is wait4's word, of the process or the largest below it. A Kept may come of a process whose execve has failed just then; another
// Kept or a job of that process then takes its place.
//
// The same memory has what kinds of commands take less time than sending them: we say so (SetShort), and drivers keep such commands. Of what kind a process is, they say (Started): that is true or not known.
//
// A Journal belongs to one goroutine. The memory has no name in a file system: it can't be left behind, fill a disk or wait for one.
package journal

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mexec"
)

// Variable of the environment holds a journal's Name for the drivers.
const Variable = "MEXEC_JOURNAL"

// Journal is the reader's side.
type Journal struct {
	file   *os.File
	memory []byte
	ring   ring
	kinds  kinds
	tree   *tree
}

// Open makes a journal for a build. Its drivers are below this process, and can use it as long as this process holds it; those that have it then keep it.
func Open(build mexec.BuildID) (*Journal, error) {
	h, err := head(build, os.Getpid())
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("mexec-journal", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("journal memfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), "journal")
	const size = headLen + records*recordLen + kindsWords*8
	if err := f.Truncate(size); err != nil {
		f.Close()
		return nil, err
	}
	// So nobody can pull it away under those who have mapped it.
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		f.Close()
		return nil, fmt.Errorf("journal seals: %w", err)
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("journal mmap: %w", err)
	}
	copy(memory, h)
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&memory[0])), size/8) // a mapping begins at a page
	ringed := words[:headWords+records*recordWords]
	return &Journal{file: f, memory: memory, ring: ring{memory: ringed}, kinds: kinds{words[len(ringed):]}, tree: newTree()}, nil
}

// Name is what a driver finds it by.
func (j *Journal) Name() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), j.file.Fd())
}

// Read returns what has been told since the last time. The last Read is for when the tool has ended.
func (j *Journal) Read(last bool) []mexec.Event {
	var events []mexec.Event
	for _, r := range j.ring.read(last) {
		switch r.kind {
		case forked:
			j.tree.forked(r.pid, r.by)
		case begun:
			j.tree.begun(r.pid, r.above)
		case kept:
			events = append(events, r.event(mexec.Usage{}))
		case reaped:
			events = append(events, r.event(j.tree.ended(r.pid, r.by, r.usage)))
		}
	}
	return events
}

// Tool is the end of the tool, which is this process's own child. It comes after the last Read.
func (j *Journal) Tool(pid int, s syscall.WaitStatus, r syscall.Rusage, at time.Time) mexec.Event {
	u := mexec.Usage{User: time.Duration(r.Utime.Nano()), System: time.Duration(r.Stime.Nano()), MaxRSS: r.Maxrss}
	return mexec.Event{Kind: mexec.Reaped, At: at, PID: pid, Status: status(s), Usage: j.tree.ended(pid, os.Getpid(), u)}
}

// SetShort says whether commands of a kind take less time than sending them. At first none does.
func (j *Journal) SetShort(kind Kind, short bool) { j.kinds.set(kind, short) }

// Started is what was told of the process of that number which has begun last, soon after its begin and for as long as no other takes its place.
func (j *Journal) Started(pid int) (Start, bool) { return j.kinds.started(pid) }

// Gaps is how many records are known to be lost.
func (j *Journal) Gaps() int { return j.ring.gaps }

// Close gives the memory back. Drivers that live on have it still, and nobody reads it.
func (j *Journal) Close() error {
	err := unix.Munmap(j.memory)
	if e := j.file.Close(); err == nil {
		err = e
	}
	return err
}
