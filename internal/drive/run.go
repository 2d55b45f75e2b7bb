package drive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"mexec"
	"mexec/internal/policy"
)

const usage = `usage: mprun [--quiet] [--report FILE] [--trace FILE] [--rerun MODE] [--explain] [--] TOOL [ARG...]

Runs a build, test or batch tool here, and what it starts on the best nodes of the cluster: ninja, cmake --build, ctest, make, scons, cargo, xargs -P,
GNU parallel, a shell script with &. A configure, which does one thing after the other, travels itself. What a file says of the programs
that are to stay here is in mprun(1).

  --quiet        show nothing while it runs, and say nothing after it
  --report FILE  write a page about the build: where each command ran, what it waited for, what it cost
  --trace FILE   write the same for Perfetto, in Chrome's trace event format
  --rerun MODE   what becomes of a command whose node is lost: never, it is a loss; safe (default), it runs again if two runs can't be told
                 from one; slow, as safe, and where a command takes far longer than it should; always, it runs again
  --explain      say what would travel and why, and how many jobs TOOL is told; start nothing
  --help         this
  --version      the version
`

// Run is the program mprun. It returns the tool's exit status, or does not return: a tool that died of a signal takes mprun with it. What is no
// tool's status is 125, or 126 and 127 where there is no such tool, as from env(1).
func Run(args []string, environ []string, stdout, stderr io.Writer) int {
	fail := func(code int, err error) int {
		fmt.Fprintln(stderr, "mprun:", err)
		return code
	}
	o, args, err := runOptions(args, environ)
	switch {
	case err != nil:
		return fail(125, err)
	case o.help:
		fmt.Fprint(stdout, usage)
		return 0
	case o.version:
		fmt.Fprintln(stdout, "mprun", mexec.Version)
		return 0
	case len(args) == 0:
		fmt.Fprint(stderr, usage)
		return 125
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return fail(unstarted(err), err)
	}
	rules, err := loadPolicy()
	if err != nil {
		return fail(125, err)
	}
	rerun := rerun{o.rerun, rules}
	text, err := rules.Encode(os.Getpid())
	if err != nil {
		return fail(125, err)
	}
	whole, travels := rules.Whole(policy.Spawn{Path: path, Args: args})
	b := &build{name: "mprun", args: args[1:], environ: environ, stderr: stderr, options: o, whole: travels}
	run := func(path, argv0 string) (syscall.WaitStatus, error) {
		if b.whole {
			return b.run(path, argv0, func(cmd *exec.Cmd, _ jobs) error { return rerun.tell(cmd) })
		}
		b.follow(path, escape(path), rules, "")
		return b.run(path, argv0, func(cmd *exec.Cmd, j jobs) error {
			cmd.Env = set(cmd.Env, "MEXEC_POLICY", text)
			tellJobs(cmd, filepath.Base(path), j)
			return rerun.tell(cmd)
		})
	}
	if o.explain {
		if b.whole {
			fmt.Fprintf(stdout, "%s travels, with all that it starts (%s: %s).\n", path, whole.From, shown(whole.Pattern))
		} else {
			b.explain(stdout, path, args[0], rules, escape(path))
		}
		rerun.explain(stdout)
		return 0
	}
	status, err := run(path, args[0])
	if errors.Is(err, syscall.ENOEXEC) { // a shell's, as execvp has it
		b = &build{name: b.name, args: append([]string{path}, args[1:]...), environ: environ, stderr: stderr, options: o}
		status, err = run(shellPath, shellPath)
	}
	var refused *os.PathError
	switch {
	case errors.As(err, &refused) && refused.Path == path:
		return fail(unstarted(err), err)
	case err != nil:
		return fail(125, err)
	}
	return end(status)
}

const shellPath = "/bin/sh"

// unstarted is the status where the kernel, or PATH, has no such tool.
func unstarted(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return 127
	}
	return 126
}

// loadPolicy is what files say of the project in this directory, and what is built in. A directory that was removed is in no project.
func loadPolicy() (policy.Policy, error) {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	return policy.Load(dir, policy.Machine)
}
