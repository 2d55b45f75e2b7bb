package spawn

import (
	"fmt"
	"syscall"
)

// Step is one thing that the stage does for a job, numbered as in its records.
type Step uint32

// The steps that can fail, in PROTOCOL.md's numbers.
const (
	StepFrame Step = 1 + iota
	StepRLimit
	StepNice
	StepGroups
	StepIDs
	StepCWD
	StepDirectory
	StepProgram
	StepEnvSetter
	StepExec

	stepReady
	stepChild
	stepStatus
	stepStopped
	stepContinued
)

// Details of StepDirectory.
const (
	DirectoryInode = 1 + iota
	DirectoryLocal
	DirectoryOlder
	DirectoryChanged
)

// Details of StepProgram, where its Errno is 0.
const (
	ProgramSize = 1 + iota
	ProgramTime
	ProgramInode
)

// StepError says which step of a start failed. Nothing of the job's program has run.
type StepError struct {
	Step   Step
	Errno  syscall.Errno // 0: Detail says it
	Detail uint32        // of StepRLimit the resource, of StepDirectory and StepProgram the difference, of StepEnvSetter its wait status
	object string
}

func (e *StepError) Error() string {
	op := e.op()
	if e.object != "" {
		op += " " + e.object
	}
	if e.Errno != 0 {
		return op + ": " + e.Errno.Error()
	}
	return op + ": " + e.difference()
}

func (e *StepError) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

func (e *StepError) op() string {
	switch e.Step {
	case StepFrame:
		return "stage frame"
	case StepRLimit:
		return "setrlimit " + limitName(e.Detail)
	case StepNice:
		return "setpriority"
	case StepGroups:
		return "setgroups"
	case StepIDs:
		return "setresuid"
	case StepCWD:
		return "chdir"
	case StepDirectory:
		return "directory"
	case StepProgram:
		return "program"
	case StepEnvSetter:
		return "environment setter"
	case StepExec:
		return "execve"
	}
	return fmt.Sprintf("step %d", uint32(e.Step))
}

func (e *StepError) difference() string {
	switch e.Step {
	case StepDirectory:
		switch e.Detail {
		case DirectoryInode:
			return "another directory here"
		case DirectoryLocal:
			return "on a local file system, here and at the caller"
		case DirectoryOlder:
			return "older here than at the caller"
		case DirectoryChanged:
			return "changed here before the caller looked, and not there"
		}
	case StepProgram:
		switch e.Detail {
		case ProgramSize:
			return "another size here"
		case ProgramTime:
			return "another modification time here"
		case ProgramInode:
			return "another file here"
		}
	case StepEnvSetter:
		switch status := syscall.WaitStatus(e.Detail); {
		case status.Signaled():
			return fmt.Sprintf("died of signal %d (%v)", int(status.Signal()), status.Signal())
		case status.ExitStatus() != 0:
			return fmt.Sprintf("exit status %d", status.ExitStatus())
		}
		return "left the shell before its end"
	case StepFrame:
		return "cut short"
	}
	return fmt.Sprintf("detail %d", e.Detail)
}

func limitName(resource uint32) string {
	names := [...]string{
		"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile",
		"memlock", "as", "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime",
	}
	if int(resource) < len(names) {
		return names[resource]
	}
	return fmt.Sprint(resource)
}
