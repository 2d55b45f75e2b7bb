package drive

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mexec/internal/jobserver"
)

// Make is the program mpmake. It returns make's exit status, or does not return: a make that died of a signal takes mpmake with it.
func Make(args, environ []string, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintln(stderr, "mpmake:", err)
		return 2 // as make itself when it can't go on
	}
	o, args, err := makeOptions(args, environ)
	if err != nil {
		return fail(err)
	}
	b := &build{name: "mpmake", args: args, environ: environ, stderr: stderr, options: o}
	name := cmp.Or(b.getenv("MEXEC_MAKE"), "make")
	make, err := exec.LookPath(name)
	if err != nil {
		return fail(fmt.Errorf("%w (install GNU make, or name one in MEXEC_MAKE)", err))
	}
	if itself(make) { // as of a link to mpmake in front of PATH, and of that there would be no end
		return fail(fmt.Errorf("%s is mpmake itself (name a make in MEXEC_MAKE)", make))
	}
	rules, err := loadPolicy()
	if err != nil {
		return fail(err)
	}
	rerun := rerun{o.rerun, rules}
	rules = rules.ForMake()
	text, err := rules.Encode(os.Getpid())
	if err != nil {
		return fail(err)
	}
	b.follow(make, escape(make), rules, filepath.Base(make))
	// By its own name: $(MAKE) is that, and a nested make of another version may not know our jobserver.
	status, err := b.run(make, name, func(cmd *exec.Cmd, j jobs) error {
		cmd.Env = set(cmd.Env, "MEXEC_POLICY", text)
		makeJobs(cmd, j)
		return rerun.tell(cmd)
	})
	if err != nil {
		return fail(err)
	}
	if status == 0 && asksHelp(args) { // make says nothing of ours
		fmt.Fprint(stdout, makeUsage)
	}
	return end(status)
}

// itself tells whether a program is the one that runs.
func itself(path string) bool {
	own, err := os.Stat("/proc/self/exe")
	if err != nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && os.SameFile(own, info)
}

// asksHelp tells whether make is asked for its help.
func asksHelp(args []string) bool {
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		if args[i] == "--help" || args[i] == "-h" {
			return true
		}
		if takesNext(args[i]) {
			i++
		}
	}
	return false
}

const makeUsage = `
Options of mpmake's own, which runs that make over the nodes of the cluster:
  --quiet                     Say nothing of the cluster; make is given it, too.
  --report=FILE               Write a page about the build: where and when each
                              command ran, and what the end waited for.
  --trace=FILE                Write that as a trace for Perfetto.
  --rerun=never|safe|slow|always
                              What becomes of a command whose node is lost.
Without -j there are as many jobs as the cluster has room for. See mpmake(1).
`

// How many jobs a user allows: a number, or one of these.
const (
	unsaid    = -1
	unlimited = 0
	malformed = -2 // make says so
)

// makeJobs makes a make a client of a jobserver of ours, which is all that it takes: it then is what it is below another make. A number that the user gave is taken out, where
// make would open a jobserver of its own, and limits ours. With -j1 there is nothing to share, and below another jobserver it is not for us to say.
func makeJobs(cmd *exec.Cmd, j jobs) {
	flags := lookup(cmd.Env, "MAKEFLAGS")
	if jobserver.Named(flags) {
		return
	}
	rest, limit := takeJobs(cmd.Args[1:])
	for _, in := range []string{flags, lookup(cmd.Env, "GNUMAKEFLAGS")} {
		if limit == unsaid {
			limit = flagsJobs(in)
		}
	}
	if limit == 1 || limit == malformed {
		return
	}
	if told, ok := j.client(flags, limit, knowsFifo(cmd.Path)); ok {
		cmd.Args = append(cmd.Args[:1:1], rest...)
		cmd.Env = set(cmd.Env, "MAKEFLAGS", told)
	} else if limit == unsaid {
		cmd.Args = slices.Insert(cmd.Args, 1, fmt.Sprintf("-j%d", j.slots()))
	}
}

// knowsFifo tells whether a make or ninja can be a client of a jobserver that is a fifo: make since 4.4, ninja since 1.13. Those that can have this word in them. To ask
// for the version would cost the start of a process; a script that calls one of them is taken for one that can't.
func knowsFifo(path string) bool {
	program, err := os.ReadFile(path)
	return err == nil && bytes.HasPrefix(program, []byte("\x7fELF")) && bytes.Contains(program, []byte("fifo:"))
}

// flagsJobs is what a value of MAKEFLAGS says.
func flagsJobs(flags string) int {
	words := strings.Fields(flags)
	if i := slices.Index(words, "--"); i >= 0 { // variables follow
		words = words[:i]
	}
	// The first word may be letters without a dash.
	if len(words) > 0 && !strings.HasPrefix(words[0], "-") && !strings.Contains(words[0], "=") {
		words[0] = "-" + words[0]
	}
	_, n := takeJobs(words)
	return n
}

// longValued are make's long options whose argument may be the next word.
var longValued = []string{"directory", "file", "makefile", "include-dir", "old-file", "assume-old", "what-if", "new-file", "assume-new", "eval", "jobserver-style"}

// takesNext tells whether make takes the word behind this one as the option's argument. Of a long one it knows the begin of its name, too.
func takesNext(word string) bool {
	if name, ok := strings.CutPrefix(word, "--"); ok {
		return len(name) > 1 && slices.ContainsFunc(longValued, func(v string) bool { return strings.HasPrefix(v, name) })
	}
	if len(word) < 2 || word[0] != '-' {
		return false
	}
	i := strings.IndexAny(word[1:], "CfIoWElOj")
	return i == len(word)-2 && strings.ContainsRune("CfIoWE", rune(word[len(word)-1]))
}

// takeJobs takes -j out of make's arguments, as its getopt would find it: in clusters of letters, and not in what is the argument of another option. The last one
// counts. A number may be the next word, if it is nothing but digits.
func takeJobs(args []string) (rest []string, n int) {
	n = unsaid
	for i := 0; i < len(args); i++ {
		// number reads what -j has: its own text, or else the next word.
		number := func(text string) {
			if text == "" && i+1 < len(args) && strings.Trim(args[i+1], "0123456789") == "" {
				i++
				if text = args[i]; text == "" {
					text = "0" // make takes it for a number, too
				}
			}
			v, err := strconv.ParseUint(text, 10, 31)
			switch {
			case n == malformed:
			case text == "":
				n = unlimited
			case err != nil || v == 0:
				n = malformed
			default:
				n = int(v)
			}
		}
		a := args[i]
		switch {
		case a == "--":
			return append(rest, args[i:]...), n
		case strings.HasPrefix(a, "--"):
			name, value, hasValue := strings.Cut(a[2:], "=")
			if name == "jobs" { // shorter it would be ambiguous
				if number(value); hasValue && value == "" {
					n = malformed
				}
				continue
			}
			rest = append(rest, a)
			if i+1 < len(args) && takesNext(a) {
				i++
				rest = append(rest, args[i])
			}
		case len(a) > 1 && a[0] == '-':
			k := strings.IndexAny(a[1:], "jCfIoWElO") + 1
			switch {
			case k > 0 && a[k] == 'j':
				if k > 1 {
					rest = append(rest, a[:k])
				}
				number(a[k+1:])
			case i+1 < len(args) && takesNext(a):
				i++
				rest = append(rest, a, args[i])
			default:
				rest = append(rest, a)
			}
		default:
			rest = append(rest, a)
		}
	}
	return rest, n
}
