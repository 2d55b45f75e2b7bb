package drive

import (
	"cmp"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"mexec/internal/policy"
	"mexec/internal/repeat"
)

// What becomes of a command whose node is lost: the user says it by an option or a variable, and the policy which programs may run twice. Both go
// past the tool to the stub, which takes the second out of the environment again. The variable is the user's and stays: it holds for builds
// that a command starts in its turn, on whatever node.

const rerunVariable = "MEXEC_RERUN"

// rerun is what was said.
type rerun struct {
	word  string // "": nothing
	rules policy.Policy
}

// mode is what holds: without a word commands are repeated where nobody can tell.
func (r rerun) mode() (repeat.Mode, error) {
	return repeat.ParseMode(cmp.Or(r.word, repeat.Safe.String()))
}

// tell hands it to the tool's environment.
func (r rerun) tell(cmd *exec.Cmd) error {
	if r.word != "" {
		cmd.Env = set(cmd.Env, rerunVariable, r.word)
	}
	list, err := r.rules.Repeat()
	if err != nil {
		return err
	}
	cmd.Env = slices.DeleteFunc(cmd.Env, func(kv string) bool { return strings.HasPrefix(kv, "MEXEC_REPEAT=") }) // of a build around this one
	if list != "" {
		cmd.Env = append(cmd.Env, "MEXEC_REPEAT="+list)
	}
	return nil
}

// explain says in sentences what holds.
func (r rerun) explain(w io.Writer) {
	switch mode, _ := r.mode(); mode {
	case repeat.Never:
		fmt.Fprintln(w, "A command whose node is lost after it was sent is lost (never).")
	case repeat.Always:
		fmt.Fprintln(w, "A command whose node is lost runs again, unless it has read of its input (always).")
	default:
		if mode == repeat.Slow {
			fmt.Fprintln(w, "A command that takes far longer than is usual, while nothing waits and another node is free, is ended and begun anew (slow),")
			fmt.Fprintln(w, "  if it could run again were its node lost:")
		}
		fmt.Fprintln(w, "A command whose node is lost runs again (safe) if it has printed nothing, has read nothing of its input, and is")
		fmt.Fprintln(w, "  (built in): a compiler with -c and -o, or a command that writes nothing but its output")
		for _, rule := range r.rules {
			if rule.Verdict == policy.Repeats {
				fmt.Fprintf(w, "  (%s): %s\n", rule.From, rule.Pattern)
			}
		}
	}
}
