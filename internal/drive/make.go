package drive

import (
	"cmp"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Make is the program mpmake. It returns make's exit status, or does not return: a make that died of a signal takes mpmake with it.
func Make(args []string, environ []string, stderr io.Writer) int {
	o, args, err := makeOptions(args, environ)
	if err != nil {
		fmt.Fprintln(stderr, "mpmake:", err)
		return 2
	}
	b := &build{name: "mpmake", args: args, environ: environ, stderr: stderr, options: o}
	make, err := exec.LookPath(cmp.Or(b.getenv("MEXEC_MAKE"), "make"))
	if err != nil {
		fmt.Fprintf(stderr, "mpmake: %v (install GNU make, or name one in MEXEC_MAKE)\n", err)
		return 2 // as make itself when it can't go on
	}
	rerun, err := b.rerun()
	if err != nil {
		fmt.Fprintln(stderr, "mpmake:", err)
		return 2
	}
	b.follow(make, escape(make), nil, filepath.Base(make))
	status, err := b.run(make, "make", func(cmd *exec.Cmd, n func() int) error {
		makeJobs(cmd, n)
		return rerun.tell(cmd)
	})
	if err != nil {
		fmt.Fprintln(stderr, "mpmake:", err)
		return 2
	}
	return end(status)
}

// makeJobs adds -j with the slots of the cluster where nobody said how many jobs may run.
func makeJobs(cmd *exec.Cmd, n func() int) {
	if !saysJobs(cmd.Args[1:], lookup(cmd.Env, "MAKEFLAGS")) {
		cmd.Args = slices.Insert(cmd.Args, 1, fmt.Sprintf("-j%d", n()))
	}
}

// saysJobs tells whether make's arguments or MAKEFLAGS already say how many jobs may run: then it is not for us to.
func saysJobs(args []string, makeflags string) bool {
	if words := strings.Fields(makeflags); len(words) > 0 {
		if strings.Contains(makeflags, "--jobserver-auth=") || strings.Contains(makeflags, "--jobserver-fds=") {
			return true // a make above us owns the jobs
		}
		// The first word may be letters without a dash; after `--` come variables.
		if i := slices.Index(words, "--"); i >= 0 {
			words = words[:i]
		}
		if len(words) > 0 && !strings.HasPrefix(words[0], "-") && !strings.Contains(words[0], "=") {
			words[0] = "-" + words[0]
		}
		if optionJobs(words) {
			return true
		}
	}
	return optionJobs(args)
}

// optionJobs looks for -j as GNU make's getopt would: in clusters of letters, and not in what is the argument of another option.
func optionJobs(args []string) bool {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			return false
		case strings.HasPrefix(a, "--"):
			name, _, valued := strings.Cut(a[2:], "=")
			if len(name) >= 2 && strings.HasPrefix("jobs", name) { // getopt takes --jo for --jobs
				return true
			}
			if !valued && slices.Contains([]string{"directory", "file", "makefile", "include-dir", "old-file", "assume-old", "what-if", "new-file", "assume-new", "eval"}, name) {
				i++
			}
		case len(a) > 1 && a[0] == '-':
			for k, c := range a[1:] {
				if c == 'j' {
					return true
				}
				if strings.ContainsRune("CfIoWE", c) { // takes the rest of the word, or the next
					if k+2 == len(a) {
						i++
					}
					break
				}
				if strings.ContainsRune("lO", c) { // may take the rest of the word
					break
				}
			}
		}
	}
	return false
}
