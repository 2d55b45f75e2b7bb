package drive

import (
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"mexec/internal/trace"
)

// tellJobs tells a tool how many jobs may run, n by the slots of the cluster, where nobody has said it.
//
// A tool that asks its environment is told there, since options are a matter of its subcommands. A tool that we don't know may be a script, which
// starts any of the others: it finds all that can be said so.
func tellJobs(cmd *exec.Cmd, tool string, n func() int) {
	switch {
	case tool == "make" || tool == "gmake":
		makeJobs(cmd, n)
	case slices.Contains(byOption, tool):
		if !optionJobs(cmd.Args[1:]) && !slices.ContainsFunc(cmd.Args[1:], isParallelJobs) {
			cmd.Args = slices.Insert(cmd.Args, 1, fmt.Sprintf("-j%d", n()))
		}
	case byVariable[tool] != "":
		tellBy(cmd, byVariable[tool], n)
	case tool == "go": // most of its subcommands know -p, and those that don't are not told
		flags := lookup(cmd.Env, "GOFLAGS")
		if !slices.ContainsFunc(slices.Concat(cmd.Args[1:], strings.Fields(flags)), isGoJobs) {
			cmd.Env = set(cmd.Env, "GOFLAGS", strings.TrimSpace(fmt.Sprintf("%s -p=%d", flags, n())))
		}
	case tool == "xargs": // its -P is the user's to say, without one it promises one at a time
	default:
		for _, name := range slices.Sorted(maps.Values(byVariable)) {
			tellBy(cmd, name, n)
		}
		if lookup(cmd.Env, "MAKEFLAGS") == "" {
			cmd.Env = set(cmd.Env, "MAKEFLAGS", fmt.Sprintf("-j%d", n()))
		}
	}
}

var (
	byOption   = []string{"ninja", "ninja-build", "samu", "scons", "parallel"}
	byVariable = map[string]string{"cmake": "CMAKE_BUILD_PARALLEL_LEVEL", "ctest": "CTEST_PARALLEL_LEVEL", "cargo": "CARGO_BUILD_JOBS"}
)

// isParallelJobs knows the other names of -j in GNU parallel.
func isParallelJobs(arg string) bool {
	return strings.HasPrefix(arg, "-P") || strings.HasPrefix(arg, "--max-procs")
}

// isGoJobs knows go's -j. go's options may have two dashes.
func isGoJobs(arg string) bool {
	name, _, _ := strings.Cut(arg, "=")
	return name == "-p" || name == "--p"
}

func tellBy(cmd *exec.Cmd, variable string, n func() int) {
	if lookup(cmd.Env, variable) == "" {
		cmd.Env = set(cmd.Env, variable, fmt.Sprint(n()))
	}
}

func set(environ []string, name, value string) []string {
	environ = slices.DeleteFunc(slices.Clone(environ), func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
	return append(environ, name+"="+value)
}

// escape says why the preload shim can't see what a program starts, or "". Of a script it is the interpreter that counts.
func escape(path string) string {
	for range 4 { // as often as the kernel
		if info, err := os.Stat(path); err == nil {
			if st := info.Sys().(*syscall.Stat_t); info.Mode()&os.ModeSetuid != 0 && int(st.Uid) != os.Getuid() {
				return "is set-user-ID"
			}
		}
		f, err := os.Open(path)
		if err != nil {
			return ""
		}
		head := make([]byte, 256)
		n, _ := f.Read(head)
		script, ok := strings.CutPrefix(string(head[:n]), "#!")
		if !ok {
			defer f.Close()
			program, err := elf.NewFile(f)
			switch {
			case err != nil:
				return ""
			case !slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }):
				return isStatic
			case trace.IsGo(program):
				return isGo
			}
			return ""
		}
		f.Close()
		line, _, _ := strings.Cut(script, "\n")
		words := strings.Fields(line)
		if len(words) == 0 {
			return ""
		}
		path = words[0]
	}
	return ""
}
