package drive

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"mexec/internal/ctl"
	"mexec/internal/policy"
)

// explain says in sentences what run would do.
func (b *build) explain(w io.Writer, path, argv0 string, rules policy.Policy, escapes string) {
	b.socket = ctl.Socket(b.getenv)
	if escapes == isStatic || escapes == isGo {
		fmt.Fprintf(w, "%s %s: it is traced, where that is allowed.\n", path, escapes)
	} else if escapes != "" {
		fmt.Fprintf(w, "%s %s: what it starts stays on this node.\n", path, escapes)
		return
	}
	fmt.Fprintf(w, "%s runs here. What it starts travels, each with all that it starts in its turn, but for\n", path)
	for len(rules) > 0 {
		first := rules[0]
		n := slices.IndexFunc(rules, func(r policy.Rule) bool { return r.From != first.From })
		if n < 0 {
			n = len(rules)
		}
		for _, kind := range []struct {
			verdict policy.Verdict
			does    string
		}{{policy.Travels, "travels"}, {policy.Whole, "travels, below mprun itself too"}, {policy.Drives, "stays, what it starts travels"}, {policy.Stays, "stays"}} {
			var names []string
			for _, r := range rules[:n] {
				if r.Verdict == kind.verdict {
					names = append(names, r.Pattern)
				}
			}
			if first.From == policy.BuiltIn && kind.verdict == policy.Drives {
				names = append(names, "make", "gmake")
				slices.Sort(names)
			}
			for i, name := range names {
				names[i] = shown(name)
			}
			if len(names) > 0 {
				fmt.Fprintf(w, "  %s (%s): %s\n", kind.does, first.From, strings.Join(names, " "))
			}
		}
		rules = rules[n:]
	}
	if short, err := shortLimit(b.getenv); err == nil && short > 0 && b.getenv("NODES") == "" && b.getenv("ENVSETTER") == "" && escapes == "" {
		fmt.Fprintf(w, "Commands of a kind that is known to take less than %v stay, unless a file says that they travel.\n", short)
	}
	cmd := exec.Command(path, b.args...)
	cmd.Args[0], cmd.Env = argv0, slices.Clone(b.environ)
	tellJobs(cmd, filepath.Base(path), jobs{slots: b.slots, serve: func(bool, int) (string, error) { return "OURS", nil }})
	told := slices.DeleteFunc(cmd.Env, func(kv string) bool { return slices.Contains(b.environ, kv) })
	fmt.Fprintf(w, "It is started as: %s\n", strings.Join(append(told, cmd.Args...), " "))
}

// shown quotes a pattern that has an argument.
func shown(pattern string) string {
	if strings.Contains(pattern, " ") {
		return "'" + pattern + "'"
	}
	return pattern
}
