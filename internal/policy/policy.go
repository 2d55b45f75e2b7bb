// Package policy says which of the programs that a tool starts travel, and which of them may run twice where their node is lost.
//
// It is a list of rules, and the first that matches a program counts: those of the project, of the machine, and ours, in this order. What no rule
// matches travels. What may run twice is a matter of its own, and so are its rules. Nobody has to write one: ours keep here what takes less time than sending it, and the tools that start others themselves.
//
// Pure but for Load. The preload shim has the same decision in C (libmexec/policy.c) and reads what Encode writes; a test compares the two.
package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Verdict is what happens to a program. Its sign is that of MEXEC_POLICY.
type Verdict byte

const (
	Travels Verdict = '+'
	Stays   Verdict = '-'
	Drives  Verdict = '@' // it stays, and what it starts travels
	Whole   Verdict = '&' // it travels, and so it does where it is the tool that mprun is given: with all that it starts

	Repeats Verdict = '2' // two runs of it leave what one leaves; of where it runs this says nothing
)

// bare is Stays in MEXEC_POLICY for those of our own list, of which we know that they start no driver.
const bare = '.'

// Rule is for programs whose name matches.
type Rule struct {
	Verdict Verdict
	Pattern string // of the last part of the program's pathname; a * stands for any bytes. Behind a blank: of one of its arguments
	From    string // the file that says so, or BuiltIn
}

// Policy is rules, the strongest first.
type Policy []Rule

// BuiltIn is where our own rules come from.
const BuiltIn = "built in"

// longest is LONGEST_POLICY of libmexec/policy.h without the NUL.
const longest = 8191

// Own is what holds where no file says otherwise. The makes are not in it: the shim knows them without a rule.
func Own() Policy {
	var p Policy
	for verdict, names := range map[Verdict]string{
		// They do one small thing after the other. Sent one by one, each would go away and come back, read there what was written here a moment ago, and keep this node busy.
		Whole: "Configure configure",
		// Not env, nice, sh, xargs and their like: they execute others.
		Stays: "[ basename cat chgrp chmod chown cmp cp cut date dirname echo expr false head hostname id install ln ls mkdir mkfifo mktemp mv " +
			"printf pwd readlink realpath rm rmdir stat tail tee test touch tr true uname wc which",
		// xargs asked for more than one at a time is one, and else executes others like env.
		Drives: "cargo cmake=--build ctest debuild dh dh_auto_* dpkg-buildpackage meson=compile meson=test mpmake mprun ninja ninja-build parallel prove samu scons " +
			"xargs=--max-procs* xargs=-P*",
	} {
		for name := range strings.FieldsSeq(names) {
			p = append(p, Rule{verdict, strings.Replace(name, "=", " ", 1), BuiltIn})
		}
	}
	slices.SortFunc(p, func(a, b Rule) int { return strings.Compare(a.Pattern, b.Pattern) })
	return p
}

// ForMake is what counts of it below mpmake, all of whose recipes travel: what files say, and which programs are drivers too.
func (p Policy) ForMake() Policy {
	return slices.DeleteFunc(slices.Clone(p), func(r Rule) bool { return r.From == BuiltIn && r.Verdict == Stays })
}

// Decide finds the rule for a program's name and arguments.
func (p Policy) Decide(name string, args ...string) (Rule, bool) {
	for _, r := range p {
		pattern, argument, only := strings.Cut(r.Pattern, " ")
		if r.Verdict != Repeats && matches(pattern, name) && (!only || slices.ContainsFunc(args, func(a string) bool { return matches(argument, a) })) {
			return r, true
		}
	}
	return Rule{Verdict: Travels}, false
}

// Repeat is MEXEC_REPEAT: the patterns of the programs that may run twice, blanks between.
func (p Policy) Repeat() (string, error) {
	var patterns []string
	for _, r := range p {
		if r.Verdict == Repeats {
			patterns = append(patterns, r.Pattern)
		}
	}
	text := strings.Join(patterns, " ")
	if len(text) > longest {
		return "", fmt.Errorf("policy: its patterns for repeat are %d bytes long, more than %d: use fewer, with a *", len(text), longest)
	}
	return text, nil
}

// InList says whether a name matches one of the patterns of a list that Repeat made.
func InList(list, name string) bool {
	for pattern := range strings.FieldsSeq(list) {
		if matches(pattern, name) {
			return true
		}
	}
	return false
}

// Encode is MEXEC_POLICY for the children of the process parent.
func (p Policy) Encode(parent int) (string, error) {
	text := fmt.Append(nil, parent)
	for _, r := range p {
		sign := byte(r.Verdict)
		switch {
		case r.Verdict == Stays && r.From == BuiltIn:
			sign = bare
		case r.Verdict == Whole: // of a child nothing else is to be said
			sign = byte(Travels)
		}
		if r.Verdict != Repeats {
			text = append(append(text, ' ', sign), strings.Replace(r.Pattern, " ", "\t", 1)...)
		}
	}
	if len(text) > longest {
		return "", fmt.Errorf("policy: its %d patterns are %d bytes long, more than %d: use fewer, with a *", len(p), len(text), longest)
	}
	return string(text), nil
}

func matches(pattern, name string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], more
	}
}
