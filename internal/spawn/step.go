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

// StepTerminal is the job's session and its controlling terminal.
const StepTerminal Step = 16

// StepScheduling is how the job is scheduled: its policy, ioprio, oom_score_adj, personality, timer slack or CPUs.
const StepScheduling Step = 24

// StepDescriptor is that of an open file of the caller.
const (
	StepDescriptor Step = 32 + iota
	stepOpened
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
	Detail uint32        // of StepRLimit the resource, of StepDirectory and StepProgram the difference, of StepEnvSetter its wait status,
	// of StepDescriptor its number times 8 and a difference as of StepDirectory
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
	case StepScheduling:
		return schedulingName(e.Detail)
	case StepTerminal:
		return "controlling terminal"
	case StepDescriptor:
		return "descriptor"
	}
	return fmt.Sprintf("step %d", uint32(e.Step))
}

func (e *StepError) difference() string {
	switch e.Step {
	case StepDescriptor:
		return differs(e.Detail&7, "file")
	case StepDirectory:
		return differs(e.Detail, "directory")
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

// differs says how a file or directory here is another than the caller's.
func differs(detail uint32, what string) string {
	switch detail {
	case DirectoryInode:
		return "another " + what + " here"
	case DirectoryLocal:
		return "on a local file system, here and at the caller"
	case DirectoryOlder:
		return "older here than at the caller"
	case DirectoryChanged:
		return "changed here before the caller looked, and not there"
	}
	return fmt.Sprintf("detail %d", detail)
}

func schedulingName(detail uint32) string {
	names := [...]string{"scheduling", "sched_setattr", "ioprio_set", "oom_score_adj", "personality", "timer slack", "sched_setaffinity"}
	if int(detail) < len(names) {
		return names[detail]
	}
	return names[0]
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
