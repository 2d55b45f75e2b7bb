package spawn

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"mexec/internal/wire"
)

// The stage protocol, PROTOCOL.md §3.

const stageHead = 40

var le = binary.LittleEndian

const (
	flagSetIDs = 1 << iota
	flagCheckProgram
	flagSameKernel
	flagEnvSetter
	flagSupervise
	flagCheckDirectory
	flagTerminal

	flagDescriptors = 1024

	nicerShift = 24 // how much nicer, in the highest byte
)

const recordSize = 16

type record struct {
	step   Step
	errno  uint32
	detail uint32
}

func parseRecord(b []byte) record {
	return record{Step(le.Uint32(b)), le.Uint32(b[4:]), le.Uint32(b[8:])}
}

// appendFrame encodes all of j's stage frame that stands before the exec body.
func appendFrame(b []byte, j *Job, ignored uint64, supervise bool) []byte {
	flag := func(on bool, bit uint32) uint32 {
		if on {
			return bit
		}
		return 0
	}
	flags := flag(j.SetIDs, flagSetIDs) | flag(j.CheckProgram, flagCheckProgram) | flag(j.SameKernel, flagSameKernel) |
		flag(j.EnvSetter != "", flagEnvSetter) | flag(supervise || j.Terminal, flagSupervise) | flag(j.CheckDirectory, flagCheckDirectory) |
		flag(j.Terminal, flagTerminal) | flag(len(j.Descriptors) > 0, flagDescriptors) |
		uint32(j.Nicer)<<nicerShift
	var table []byte
	if len(j.Descriptors) > 0 {
		table = appendDescriptors(nil, j.Descriptors)
	}
	length := stageHead - 4 + 4*len(j.Groups) + len(j.EnvSetter) + 1 + len(table) + len(j.Exec)
	for _, v := range []uint32{uint32(length), flags, j.UID, j.GID, uint32(len(j.Groups))} {
		b = le.AppendUint32(b, v)
	}
	closed := uint32(0)
	for n, f := range j.Stdio {
		closed |= flag(f == nil, 1<<n)
	}
	b = le.AppendUint32(b, closed)
	b = le.AppendUint32(b, uint32(len(j.EnvSetter)))
	b = le.AppendUint32(b, uint32(max(0, j.Skew/time.Millisecond)))
	b = le.AppendUint64(b, ignored)
	for _, g := range j.Groups {
		b = le.AppendUint32(b, g)
	}
	b = append(b, j.EnvSetter...)
	return append(append(b, 0), table...)
}

const (
	requestSignal = 1 + iota
	requestSignalGroup
	requestKill
)

func request(op, signal uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, op), signal)
}

// ignoredSignals is what this program passes on by execve as ignored.
func ignoredSignals() (uint64, error) {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return 0, fmt.Errorf("ignored signals: %w", err)
	}
	_, rest, _ := strings.Cut(string(status), "\nSigIgn:\t")
	field, _, _ := strings.Cut(rest, "\n")
	set, err := strconv.ParseUint(field, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("ignored signals: %w", err)
	}
	return set, nil
}

// object names what a step of j works on, for its error.
func (j *Job) object(s Step, detail uint32) string {
	if s == StepDescriptor {
		name := fmt.Sprint(detail >> 3)
		for _, d := range j.Descriptors {
			if d.Number == detail>>3 && d.Opened != nil {
				name += " (" + d.Opened.Path + ")"
			}
		}
		return name
	}
	if s == StepEnvSetter {
		return j.EnvSetter
	}
	e, err := wire.ParseExec(j.Exec)
	if err != nil {
		return ""
	}
	switch s {
	case StepCWD, StepDirectory:
		return string(e.Cwd)
	case StepProgram, StepExec:
		return string(e.Path)
	}
	return ""
}
