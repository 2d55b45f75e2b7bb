package mexec

import (
	"context"
	"os"
	"os/exec"
	"syscall"
)

// Options say how commands are run. The zero value is that of [Command], [CommandContext] and [Exec].
type Options struct {
	// Nodes limits where the command may run: numbers, ranges, names and ranges of names, as in "1-3,5,node[8-11]".
	// Empty: the variable NODES of the command's environment. Where none of these nodes is up, the command runs here.
	Nodes string

	// Verbose lets mexec say on the command's stderr where it runs and why.
	Verbose bool

	// Stub is the absolute pathname of the program mexec. Empty: MEXEC_STUB says it, else it is /usr/bin/mexec or
	// /usr/local/bin/mexec. Where there is none, commands run here.
	Stub string
}

// Command is [exec.Command], but that the program runs on the node that suits it best, exactly as if it had been started here.
//
// All that package os/exec offers works on the result: the pipes, Dir, Env, Cancel, WaitDelay, ProcessState. The process is the stub,
// which ends as the program ends, with its exit status or of its signal, and which takes the program's whole process tree
// with it when it is killed. So Path and Args are the stub's; arguments may be appended, and Args[0] is the stub's own name.
//
// Errors are those of os/exec. Whether the program can be executed is looked at in Command: what surely can is put behind the stub, and
// all else is left to exec.Command, whose Err or Start tells what is wrong. This goes for a name that is found along PATH and for an absolute
// one; a relative one is looked at from this process's directory, not from Dir. If the program goes away between Command and Start, Wait
// returns an [exec.ExitError] with code 127 or 126. Code [LostStatus] says that mexec lost the command, and a line on its stderr says why;
// a program may exit with this code, too.
func Command(name string, arg ...string) *exec.Cmd {
	return Options{}.Command(name, arg...)
}

// CommandContext is [Command] with a context, as [exec.CommandContext]: when it ends, the stub is killed, and within a second the
// command's process tree on its node.
func CommandContext(ctx context.Context, name string, arg ...string) *exec.Cmd {
	return Options{}.CommandContext(ctx, name, arg...)
}

// Exec is [syscall.Exec], but that the program runs on the node that suits it best. This process becomes the stub, or, without a daemon, the
// program itself. It returns only where syscall.Exec would, with its errno: a syscall.Errno. argv0 is a pathname.
//
// NODES, ENVSETTER, MEXEC_SOCKET and MEXEC_STUB are taken from envv.
func Exec(argv0 string, argv []string, envv []string) error {
	return Options{}.Exec(argv0, argv, envv)
}

// Command is [Command] with options.
func (o Options) Command(name string, arg ...string) *exec.Cmd {
	plain := exec.Command(name, arg...)
	if stub := o.stubFor(plain); stub != "" {
		return o.put(exec.Command(stub), plain)
	}
	return plain
}

// CommandContext is [CommandContext] with options.
func (o Options) CommandContext(ctx context.Context, name string, arg ...string) *exec.Cmd {
	plain := exec.CommandContext(ctx, name, arg...)
	if stub := o.stubFor(plain); stub != "" {
		return o.put(exec.CommandContext(ctx, stub), plain)
	}
	return plain
}

// Exec is [Exec] with options.
func (o Options) Exec(argv0 string, argv []string, envv []string) error {
	if len(argv) > 0 && surelyExecutes(argv0) {
		if stub := o.stub(envv); stub != "" {
			syscall.Exec(stub, o.wrap(argv0, argv), envv) // comes back only where there is no stub
		}
	}
	return syscall.Exec(argv0, argv, envv)
}

// stubFor is the stub that a command goes behind, empty where it does not.
func (o Options) stubFor(plain *exec.Cmd) string {
	if plain.Err != nil || !surelyExecutes(plain.Path) {
		return ""
	}
	stub := o.stub(os.Environ())
	if stub == "" || !surelyExecutes(stub) {
		return ""
	}
	return stub
}

func (o Options) put(stub, plain *exec.Cmd) *exec.Cmd {
	stub.Args = o.wrap(plain.Path, plain.Args)
	return stub
}

// wrap is libmexec/wrap.c, with options.
func (o Options) wrap(path string, argv []string) []string {
	args := []string{"mexec", "-p"}
	if o.Nodes != "" {
		args = append(args, "-n", o.Nodes)
	}
	if o.Verbose {
		args = append(args, "-v")
	}
	if argv[0] != path {
		args = append(args, "-a", argv[0])
	}
	args = append(args, "--", path)
	return append(args, argv[1:]...)
}
