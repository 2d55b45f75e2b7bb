package repeat

import (
	"path"
	"slices"
	"strings"
)

// Command is a command as execve gets it.
type Command struct {
	Path string
	Argv []string
	Env  []string
	// Named says whether the policy calls programs of this name repeatable, whatever their arguments. nil: none.
	Named func(name string) bool
}

// Repeatable says why the command can run twice as if once, or that it can't.
//
// It counts as one that can where it is, itself or as the line of sh -c:
//
//   - a compiler that makes one named file of its sources (compiler.go), or a program that the policy names;
//   - a program that writes to nothing but its output; with > that is a file which each run makes anew;
//   - a list of such, joined by && or ;, in which only one writes files. Two that do may be a chain, of which the second run would begin at
//     another state than the first. Before the one that writes stand only commands that look at no file, so that they decide as they did.
//     After it a mv may give what the compiler made its final name: the second compiler makes it anew.
func (c Command) Repeatable() (why string, ok bool) {
	if len(c.Argv) == 0 {
		return "", false
	}
	name := path.Base(c.Path)
	if slices.Contains(shells, name) {
		if line, ok := shellLine(c.Argv); ok {
			if c.startsOtherwise() {
				return "", false
			}
			list, ok := parse(line)
			if !ok {
				return "", false
			}
			return c.list(list)
		}
	}
	if called := path.Base(c.Argv[0]); isCompiler(name) != isCompiler(called) { // clang looks at it
		return "", false
	}
	return c.list([]simple{{words: append([]string{name}, c.Argv[1:]...)}})
}

var shells = []string{"sh", "dash", "bash"}

// shellLine finds the line of a shell that was given one and nothing else.
func shellLine(argv []string) (string, bool) {
	if len(argv) < 3 {
		return "", false
	}
	last := len(argv) - 1
	for i, option := range argv[1:last] {
		switch {
		case option == "-c" || option == "-ec":
			return argv[last], i+2 == last
		case option != "-e":
			return "", false
		}
	}
	return "", false
}

// startsOtherwise tells whether the environment makes a shell run or take for commands what its line does not say.
func (c Command) startsOtherwise() bool {
	return slices.ContainsFunc(c.Env, func(kv string) bool {
		return strings.HasPrefix(kv, "BASH_ENV=") || strings.HasPrefix(kv, "BASH_FUNC_") || strings.HasPrefix(kv, "SHELLOPTS=")
	})
}

// Programs that write to nothing but their output, whatever their options; the first look at no file either.
var (
	blind = []string{":", "echo", "false", "printf", "true"}
	look  = []string{"basename", "cat", "cmp", "diff", "dirname", "egrep", "expr", "fgrep", "grep", "head", "ls", "pwd", "readlink", "realpath", "stat", "test", "uname", "wc", "which"}
)

// list judges simple commands that run one after the other.
func (c Command) list(commands []simple) (why string, ok bool) {
	why = "it writes nothing but its output"
	writes := false
	var made, sources []string // of the compiler
	for i, s := range commands {
		name := path.Base(s.words[0])
		var says string
		switch {
		case slices.Contains(blind, name):
		case slices.Contains(look, name):
			if !writes && !s.writes && slices.ContainsFunc(commands[i+1:], func(s simple) bool { return c.mayWrite(s) }) {
				return "", false
			}
		case name == "cd" && len(s.words) == 2 && !writes && !s.writes:
		case name == "mkdir" && len(s.words) > 2 && s.words[1] == "-p" && !optionAmong(s.words[2:]) && !s.writes:
			if !writes {
				why = "it makes directories that are not there"
			}
		case name == "mv" && movesOwn(s, made, sources):
		case c.Named != nil && c.Named(name):
			says = "the policy calls " + name + " repeatable"
		default:
			files, ok := makesOne(s.words)
			if !ok || c.disturbed() {
				return "", false
			}
			made, sources = files, s.words
			says = "a compiler with -c and -o"
		}
		if says == "" && !s.writes {
			continue
		}
		if writes {
			return "", false
		}
		writes = true
		if says == "" {
			says = "it writes one file anew"
		}
		why = says
	}
	return why, true
}

func (c Command) mayWrite(s simple) bool {
	name := path.Base(s.words[0])
	return s.writes || !slices.Contains(blind, name) && !slices.Contains(look, name)
}

func optionAmong(words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "-") })
}

// movesOwn tells whether a mv renames one of the files that a compiler has made, and not to one that it read.
func movesOwn(s simple, made, sources []string) bool {
	w := s.words[1:]
	if len(w) > 0 && w[0] == "-f" {
		w = w[1:]
	}
	return !s.writes && len(w) == 2 && !optionAmong(w) && slices.Contains(made, w[0]) && !slices.Contains(sources, w[1])
}
