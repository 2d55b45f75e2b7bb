package drive

import (
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"mexec/internal/jobserver"
	"mexec/internal/trace"
)

// tellJobs tells a tool how many jobs may run: by a jobserver where it can be a client of one, else, where nobody has said it, by a number, that of the
// cluster's slots.
//
// A tool that asks its environment is told there, since options are a matter of its subcommands. A tool that we don't know may be a script, which
// starts any of the others: it finds all that can be said so.
func tellJobs(cmd *exec.Cmd, tool string, j jobs) {
	flags := lookup(cmd.Env, "MAKEFLAGS")
	if jobserver.Named(flags) {
		j.serve = nil // whoever is above has said it, to all that can hear
	}
	switch {
	case tool == "make" || tool == "gmake":
		makeJobs(cmd, j)
	case slices.Contains(byOption, tool):
		if optionJobs(cmd.Args[1:]) || slices.ContainsFunc(cmd.Args[1:], isParallelJobs) {
			return
		}
		if strings.HasPrefix(tool, "ninja") && knowsFifo(cmd.Path) && (jobserver.Named(flags) || serveBy(cmd, j, true)) {
			return
		}
		cmd.Args = slices.Insert(cmd.Args, 1, fmt.Sprintf("-j%d", j.slots()))
	case tool == "cmake" && cmakeJobs(cmd, j):
	case tool == "cargo" && lookup(cmd.Env, byVariable[tool]) == "" && !optionJobs(cmd.Args[1:]):
		serveBy(cmd, j, false)
		tellBy(cmd, byVariable[tool], j.slots)
	case tool == "meson": // its compile asks no variable
		tellBy(cmd, byVariable[tool], j.slots)
		if i := slices.Index(cmd.Args, "compile"); i > 0 && !optionJobs(cmd.Args[i+1:]) {
			cmd.Args = slices.Insert(cmd.Args, i+1, fmt.Sprintf("-j%d", j.slots()))
		}
	case byVariable[tool] != "":
		tellBy(cmd, byVariable[tool], j.slots)
	case tool == "go": // most of its subcommands know -p, and those that don't are not told
		flags := lookup(cmd.Env, "GOFLAGS")
		if !slices.ContainsFunc(slices.Concat(cmd.Args[1:], strings.Fields(flags)), isGoJobs) {
			cmd.Env = set(cmd.Env, "GOFLAGS", strings.TrimSpace(fmt.Sprintf("%s -p=%d", flags, j.slots())))
		}
	case tool == "xargs": // its -P is the user's to say, without one it promises one at a time
	default:
		fifo := true
		if make, err := exec.LookPath("make"); err == nil {
			fifo = knowsFifo(make)
		}
		// The two ends of a pipe reach a make through shells only: what else starts others may close them, and that make would run one job at a time.
		served := (fifo || shell(cmd.Path)) && serveBy(cmd, j, fifo)
		for _, name := range slices.Sorted(maps.Keys(byVariable)) {
			if name == "cmake" && served {
				ninja, err := exec.LookPath("ninja")
				if err != nil || fifo && knowsFifo(ninja) {
					continue // its make or ninja will find the jobserver, and with -j would not look
				}
			}
			tellBy(cmd, byVariable[name], j.slots)
		}
		if !served && flags == "" {
			cmd.Env = set(cmd.Env, "MAKEFLAGS", fmt.Sprintf("-j%d", j.slots()))
		}
	}
}

// serveBy gives a tool a jobserver by its environment.
func serveBy(cmd *exec.Cmd, j jobs, fifo bool) bool {
	flags := lookup(cmd.Env, "MAKEFLAGS")
	limit := flagsJobs(flags)
	if limit == 1 || limit == malformed {
		return false
	}
	told, ok := j.client(flags, limit, fifo)
	if ok {
		cmd.Env = set(cmd.Env, "MAKEFLAGS", told)
	}
	return ok
}

// cmakeJobs gives `cmake --build DIR` a jobserver, if the tool that DIR was configured for can be its client and nobody has said how many jobs may run.
func cmakeJobs(cmd *exec.Cmd, j jobs) bool {
	i := slices.Index(cmd.Args, "--build")
	if i < 0 || i+1 >= len(cmd.Args) || optionJobs(cmd.Args[1:]) || lookup(cmd.Env, byVariable["cmake"]) != "" ||
		slices.ContainsFunc(cmd.Args, func(a string) bool { return strings.HasPrefix(a, "--parallel") }) {
		return false
	}
	cache, _ := os.ReadFile(filepath.Join(cmd.Args[i+1], "CMakeCache.txt"))
	var generator, program string
	for line := range strings.Lines(string(cache)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name, _, _ = strings.Cut(name, ":"); name {
		case "CMAKE_GENERATOR":
			generator = value
		case "CMAKE_MAKE_PROGRAM":
			program = value
		}
	}
	fifo := knowsFifo(program)
	return (fifo && strings.HasPrefix(generator, "Ninja") || generator == "Unix Makefiles") && serveBy(cmd, j, fifo)
}

// shell tells whether a program is a shell's script, or a shell.
func shell(path string) bool {
	if f, err := os.Open(path); err == nil {
		defer f.Close()
		head := make([]byte, 256)
		n, _ := f.Read(head)
		if script, ok := strings.CutPrefix(string(head[:n]), "#!"); ok {
			line, _, _ := strings.Cut(script, "\n")
			words := strings.Fields(line)
			for len(words) > 1 && filepath.Base(words[0]) == "env" {
				words = words[1:]
			}
			path = strings.Join(words[:min(1, len(words))], "")
		}
	}
	return slices.Contains([]string{"sh", "bash", "dash", "ksh", "zsh"}, filepath.Base(path))
}

// optionJobs tells whether arguments say -j in any of the ways in which most tools take it, which are make's.
func optionJobs(args []string) bool {
	_, n := takeJobs(args)
	return n != unsaid
}

var (
	byOption   = []string{"ninja", "ninja-build", "samu", "scons", "parallel"}
	byVariable = map[string]string{"cmake": "CMAKE_BUILD_PARALLEL_LEVEL", "ctest": "CTEST_PARALLEL_LEVEL", "cargo": "CARGO_BUILD_JOBS", "meson": "MESON_TESTTHREADS"}
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
