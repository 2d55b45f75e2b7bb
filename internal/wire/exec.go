package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
)

// Flags of an exec body.
const (
	Verbose    = 1
	NoStdin    = 2
	NoNewPrivs = 4
	Driver     = 8

	// What is done where the job's node is lost; with neither it is not run again.
	RerunSafe   = 16
	RerunAlways = 32
	RerunSlow   = 64 // with RerunSafe: also where its node is far too slow
)

const (
	headLen  = 496
	rlimits  = 16
	maxLists = 1 << 16 // more groups than NGROUPS_MAX are not from a stub

	// MaxDescriptors is how many descriptors above 2 may come with an EXEC frame.
	MaxDescriptors = 240
)

// Time is a time stamp as the kernel gives it.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Directory is the fingerprint of the caller's working directory: it holds across the clients of one shared file system.
type Directory struct {
	Dev, Ino     uint64
	Ctime, Taken Time
	FS           uint64
}

// Program is the fingerprint of the file that execve is to run.
type Program struct {
	Dev, Ino, Size uint64
	Mtime          Time
	Mode           uint32
	FS             uint64
}

// Scheduling is how the caller is scheduled and treated by its kernel, beyond nice.
type Scheduling struct {
	Policy, Priority uint8  // as sched_setattr(2) has them
	ResetOnFork      bool   // its children get the default policy
	IOPrio           uint16 // as ioprio_set(2) has it; 0: none
	OOMScoreAdj      int16
	Personality      uint32
	TimerSlack       uint32 // ns
	CPUs             uint16 // how many it may use; 0: as many as its node has
}

// Scheduling policies that are more than a share of the CPU.
const (
	FIFO       = 1
	RoundRobin = 2
	Deadline   = 6
)

// RealTimeIO is the class in the upper bits of an IOPrio that starves others.
const RealTimeIO = 1

// Capabilities in Special: the caller has others than its user id gives.
const Capabilities = 1

// ExecBody is what only the caller can see of itself, decoded. Its byte slices alias the body that it was parsed from.
type ExecBody struct {
	Flags, FDs, Umask uint32
	Nice              int32
	Pgid, Ppid        uint32
	SigIgn, SigBlk    uint64
	UID, GID          [3]uint32 // real, effective, saved
	Rlimit            [rlimits][2]uint64
	Dir               Directory
	Prog              Program
	Sched             Scheduling
	Securebits        uint8
	Special           uint16
	Groups            []uint32
	Descriptors       []uint32 // the numbers above 2 that came with the frame, ascending
	Unsent            uint32   // so many are open above 2, and none came because that is too many
	Cwd, Path         []byte
	Nodes, Build      []byte
	Repeat            []byte // names of programs that the policy calls repeatable, blanks between
	Kind              uint64 // what kind of command it is (libmexec/kind.h)
	Argc, Envc        int
	Argv, Env         []byte // strings, each with its NUL
}

var errShort = errors.New("exec body: cut short")

// cursor reads fixed fields; the length was checked before.
type cursor struct{ b []byte }

func (c *cursor) u32() uint32 { v := le.Uint32(c.b); c.b = c.b[4:]; return v }
func (c *cursor) u16() uint16 { v := le.Uint16(c.b); c.b = c.b[2:]; return v }
func (c *cursor) u8() uint8   { v := c.b[0]; c.b = c.b[1:]; return v }
func (c *cursor) u64() uint64 { v := le.Uint64(c.b); c.b = c.b[8:]; return v }

// ParseExec decodes the body of an EXEC frame.
func ParseExec(body []byte) (*ExecBody, error) {
	if len(body) < headLen {
		return nil, errShort
	}
	c := cursor{body}
	head := c.u32()
	if head < headLen || uint64(head) > uint64(len(body)) {
		return nil, fmt.Errorf("exec body: head of %d bytes in a body of %d", head, len(body))
	}
	e := &ExecBody{Flags: c.u32(), FDs: c.u32(), Umask: c.u32(), Nice: int32(c.u32()), Pgid: c.u32()}
	e.SigIgn, e.SigBlk = c.u64(), c.u64()
	for i := range e.UID {
		e.UID[i] = c.u32()
	}
	for i := range e.GID {
		e.GID[i] = c.u32()
	}
	for i := range e.Rlimit {
		e.Rlimit[i] = [2]uint64{c.u64(), c.u64()}
	}
	d := &e.Dir
	d.Dev, d.Ino = c.u64(), c.u64()
	d.Ctime = Time{int64(c.u64()), c.u32()}
	d.Taken.Nsec = c.u32()
	d.Taken.Sec = int64(c.u64())
	d.FS = c.u64()
	p := &e.Prog
	p.Dev, p.Ino, p.Size = c.u64(), c.u64(), c.u64()
	p.Mtime = Time{int64(c.u64()), c.u32()}
	p.Mode, p.FS = c.u32(), c.u64()
	ngroups, argc, envc := c.u32(), c.u32(), c.u32()
	var lens [5]uint32
	for i := range lens[:4] {
		lens[i] = c.u32()
	}
	strs := c.u32()
	e.Ppid = c.u32()
	s := &e.Sched
	s.Policy, s.Priority = c.u8(), c.u8()
	s.ResetOnFork = c.u8()&1 != 0
	e.Securebits = c.u8()
	s.IOPrio, s.OOMScoreAdj = c.u16(), int16(c.u16())
	s.Personality, s.TimerSlack = c.u32(), c.u32()
	s.CPUs, e.Special = c.u16(), c.u16()
	descriptors := c.u32()
	e.Unsent = c.u32()
	lens[4] = c.u32()
	c.u32()
	e.Kind = c.u64()

	rest := body[head:]
	if ngroups > maxLists || descriptors > MaxDescriptors || uint64(len(rest)) < 4*(uint64(ngroups)+uint64(descriptors)) {
		return nil, errShort
	}
	e.Groups, rest = cutNumbers(rest, ngroups)
	e.Descriptors, rest = cutNumbers(rest, descriptors)
	for i, n := range e.Descriptors {
		if n <= 2 || n > math.MaxInt32 || i > 0 && n <= e.Descriptors[i-1] {
			return nil, errors.New("exec body: the descriptors are not numbers above 2 in their order")
		}
	}
	for i, to := range []*[]byte{&e.Cwd, &e.Path, &e.Nodes, &e.Build, &e.Repeat} {
		s, r, err := cutString(rest, lens[i])
		if err != nil {
			return nil, err
		}
		*to, rest = s, r
	}
	if uint64(len(rest)) != uint64(strs) {
		return nil, fmt.Errorf("exec body: %d bytes of strings, said %d", len(rest), strs)
	}
	argv, ok := cutStrings(rest, argc)
	if !ok {
		return nil, errShort
	}
	env, ok := cutStrings(rest[argv:], envc)
	if !ok || argv+env != len(rest) {
		return nil, fmt.Errorf("exec body: the strings are not %d arguments and %d variables", argc, envc)
	}
	e.Argc, e.Envc = int(argc), int(envc)
	e.Argv, e.Env = rest[:argv], rest[argv:]
	if e.FDs > 7 || len(e.Cwd) == 0 || e.Cwd[0] != '/' || len(e.Path) == 0 {
		return nil, errors.New("exec body: no working directory, no program or an unknown descriptor")
	}
	return e, nil
}

// cutNumbers cuts n numbers off b, which has them.
func cutNumbers(b []byte, n uint32) (numbers []uint32, rest []byte) {
	if n == 0 {
		return nil, b
	}
	numbers = make([]uint32, n)
	for i := range numbers {
		numbers[i] = le.Uint32(b[4*i:])
	}
	return numbers, b[4*n:]
}

// cutString cuts a string of n bytes and its NUL off b.
func cutString(b []byte, n uint32) (s, rest []byte, err error) {
	if uint64(len(b)) < uint64(n)+1 {
		return nil, nil, errShort
	}
	if bytes.IndexByte(b[:n+1], 0) != int(n) {
		return nil, nil, errors.New("exec body: a string's length and its NUL disagree")
	}
	return b[:n], b[n+1:], nil
}

// cutStrings returns how many bytes the first n strings of b take.
func cutStrings(b []byte, n uint32) (int, bool) {
	at := 0
	for ; n > 0; n-- {
		i := bytes.IndexByte(b[at:], 0)
		if i < 0 {
			return 0, false
		}
		at += i + 1
	}
	return at, true
}

// Getenv is getenv(3) on the caller's environment: the first match counts.
func (e *ExecBody) Getenv(name string) (string, bool) {
	for b := e.Env; len(b) > 0; {
		i := bytes.IndexByte(b, 0)
		if v := b[:i]; len(v) > len(name) && v[len(name)] == '=' && string(v[:len(name)]) == name {
			return string(v[len(name)+1:]), true
		}
		b = b[i+1:]
	}
	return "", false
}

// WithEnv returns the body that e was parsed from with another environment of as many strings. The environment is a body's end.
func (e *ExecBody) WithEnv(body, env []byte) []byte {
	const stringsLen = 444
	b := make([]byte, 0, len(body)-len(e.Env)+len(env))
	b = append(append(b, body[:len(body)-len(e.Env)]...), env...)
	le.PutUint32(b[stringsLen:], uint32(len(e.Argv)+len(env)))
	return b
}

// Command is the job in one line for people: its arguments, cut to width bytes.
func (e *ExecBody) Command(width int) string {
	b := e.Argv[:min(len(e.Argv), width+1)]
	s := strings.TrimRight(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(b), "?")), " ")
	if len(e.Argv) > width+1 {
		s += " …"
	}
	return s
}

// Append encodes e: the twin of ParseExec, for programs of ours that are no stub.
func (e *ExecBody) Append(dst []byte) []byte {
	u32 := func(vs ...uint32) {
		for _, v := range vs {
			dst = le.AppendUint32(dst, v)
		}
	}
	u64 := func(vs ...uint64) {
		for _, v := range vs {
			dst = le.AppendUint64(dst, v)
		}
	}
	u32(headLen, e.Flags, e.FDs, e.Umask, uint32(e.Nice), e.Pgid)
	u64(e.SigIgn, e.SigBlk)
	u32(e.UID[:]...)
	u32(e.GID[:]...)
	for _, l := range e.Rlimit {
		u64(l[:]...)
	}
	d, p := &e.Dir, &e.Prog
	u64(d.Dev, d.Ino, uint64(d.Ctime.Sec))
	u32(d.Ctime.Nsec, d.Taken.Nsec)
	u64(uint64(d.Taken.Sec), d.FS, p.Dev, p.Ino, p.Size, uint64(p.Mtime.Sec))
	u32(p.Mtime.Nsec, p.Mode)
	u64(p.FS)
	u32(uint32(len(e.Groups)), uint32(e.Argc), uint32(e.Envc), uint32(len(e.Cwd)), uint32(len(e.Path)),
		uint32(len(e.Nodes)), uint32(len(e.Build)), uint32(len(e.Argv)+len(e.Env)), e.Ppid)
	s := &e.Sched
	reset := uint8(0)
	if s.ResetOnFork {
		reset = 1
	}
	dst = append(dst, s.Policy, s.Priority, reset, e.Securebits)
	dst = le.AppendUint16(dst, s.IOPrio)
	dst = le.AppendUint16(dst, uint16(s.OOMScoreAdj))
	u32(s.Personality, s.TimerSlack)
	dst = le.AppendUint16(dst, s.CPUs)
	dst = le.AppendUint16(dst, e.Special)
	u32(uint32(len(e.Descriptors)), e.Unsent, uint32(len(e.Repeat)), 0)
	u64(e.Kind)
	u32(e.Groups...)
	u32(e.Descriptors...)
	for _, s := range [][]byte{e.Cwd, e.Path, e.Nodes, e.Build, e.Repeat} {
		dst = append(append(dst, s...), 0)
	}
	dst = append(dst, e.Argv...)
	return append(dst, e.Env...)
}

// Strings joins a list as an exec body holds it: each with its NUL.
func Strings(list []string) []byte {
	var b []byte
	for _, s := range list {
		b = append(append(b, s...), 0)
	}
	return b
}
