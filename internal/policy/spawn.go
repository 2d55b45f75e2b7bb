package policy

import (
	"path"
	"slices"
	"strings"
)

// Spawn is a program as a driver executes it.
type Spawn struct {
	Path string
	Args []string // [0] is the program's name for itself
}

// IsMake knows a make by its name.
func IsMake(name string) bool {
	return name == "make" || name == "gmake" || strings.HasPrefix(name, "make-") || strings.HasPrefix(name, "gmake-") ||
		len(name) > len("_make") && strings.HasSuffix(name, "_make")
}

// isOurs knows the programs that choose nodes themselves.
func isOurs(name string) bool {
	return name == "mpmake" || name == "mprun" || name == "mexec" || name == "mexecvp"
}

// IsDriver tells whether what a program starts is to travel.
func (p Policy) IsDriver(s Spawn) bool {
	name := base(s.Path)
	if isOurs(name) {
		return false // it sees to that
	}
	rule, _ := p.Decide(name, s.rest()...)
	return IsMake(name) || rule.Verdict == Drives
}

// Whole finds the rule by which a tool travels itself.
func (p Policy) Whole(s Spawn) (Rule, bool) {
	rule, _ := p.Decide(base(s.Path), s.rest()...)
	return rule, rule.Verdict == Whole
}

// Judge says what happens to a program that a driver executes, by the program alone: it is may_travel of libmexec/route.c. A shell's line travels
// only where it Leads to no driver, which a make may know better than its words.
func (p Policy) Judge(s Spawn) Verdict {
	name := base(s.Path)
	switch {
	case IsMake(name):
		return Drives
	case isOurs(name):
		return Stays
	}
	rule, ok := p.Decide(name, s.rest()...)
	if !ok && isShell(name) {
		if word, behind, one := onlyCommand(s.Args); one {
			rule, _ = p.Decide(base(word), arguments(behind)...)
		}
	}
	if rule.Verdict == Whole {
		return Travels
	}
	return rule.Verdict
}

// Leads tells whether a shell's command line, or one of its arguments, has a driver in it, as a word. own is the name of the make that executes it, or
// empty; makes says whether makes count.
func (p Policy) Leads(own string, s Spawn, makes bool) bool {
	if !isShell(base(s.Path)) || len(s.Args) < 3 {
		return false
	}
	for i, line := range s.Args {
		if i < 2 {
			continue
		}
		rule, _ := p.Decide(base(line), s.Args[i+1:]...)
		if rule.Verdict == Drives || p.mentions(line, own, makes) {
			return true
		}
	}
	return false
}

func (p Policy) mentions(line, own string, makes bool) bool {
	const ends = " \t\n;&|(){}<>`'\"=$/"
	drivers := []string{"make", "gmake", "mpmake"}
	for at := line; at != ""; {
		n := strings.IndexAny(at, ends)
		if n < 0 {
			n = len(at)
		}
		word, rest := at[:n], at[n:]
		if word != "" && !strings.HasPrefix(rest, "/") {
			rule, _ := p.Decide(word, arguments(rest)...)
			if rule.Verdict == Drives || makes && (word == own || slices.Contains(drivers, word)) {
				return true
			}
		}
		at = strings.TrimLeft(rest, ends)
	}
	return false
}

func isShell(name string) bool { return strings.HasSuffix(name, "sh") }

// onlyCommand is the first word of a shell's line that is one command, and what is behind it.
func onlyCommand(args []string) (word, behind string, ok bool) {
	if len(args) < 3 || args[1] != "-c" || strings.ContainsAny(args[2], ";&|()`\n") {
		return "", "", false
	}
	word = strings.TrimLeft(args[2], " \t")
	if i := strings.IndexAny(word, " \t<>"); i >= 0 {
		word, behind = word[:i], word[i:]
	}
	return word, behind, true
}

// arguments are the words of one simple command in a shell's line, without what quotes them.
func arguments(line string) []string {
	if i := strings.IndexAny(line, ";&|\n"); i >= 0 {
		line = line[:i]
	}
	return strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t'\"", r) })
}

// rest are the arguments behind the name.
func (s Spawn) rest() []string { return s.Args[min(1, len(s.Args)):] }

// base is the part behind the last slash, which may be empty; path.Base thinks otherwise.
func base(name string) string {
	_, name = path.Split(name)
	return name
}
