package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mexec"
	"mexec/internal/ledger"
	"mexec/internal/monitor"
)

func whyCommand(env Env) *cobra.Command {
	var socket string
	var build, asJSON bool
	cmd := &cobra.Command{
		Use:               "why [JOB | WORDS]",
		Short:             "Say where a command ran and why, or where those of the last build did",
		ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Say where a command ran and why: from which nodes it was chosen and what was
expected of each, which of them would not have it, how long it waited, and how
it ended. JOB is its number; WORDS, such as the name of a file, mean the last
command that has them; without both it is the last one of all. This machine's
daemon remembers the last few thousand. Users hear of their own commands, root
of all.

With --last-build it is about the last mpmake or mprun of this user: how much
ran where, what stayed here, for which reasons, how much CPU time that was and
how much later it was done than it would have been elsewhere, where that is
known.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if build && len(args) > 0 {
				return usageError{errors.New("why: --last-build and a command: which of both?")}
			}
			if build {
				return whyBuild(env, asJSON)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), queryTime)
			defer cancel()
			var a ledger.Account
			err := Query(ctx, socketOr(socket, env), strings.TrimSpace("why "+strings.Join(args, " ")), &a)
			if no := refusal(""); errors.As(err, &no) {
				return errors.New(string(no))
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.Stdout, a)
			}
			return printAccount(env.Stdout, a, env.Now())
		},
	}
	cmd.Flags().BoolVar(&build, "last-build", false, "of the last mpmake or mprun of this user")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	socketFlag(cmd, &socket)
	return cmd
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// whyBuild tells of the last build, from what that left behind.
func whyBuild(env Env, asJSON bool) error {
	file := Cached(env.Getenv, LastBuild)
	if file == "" {
		return errors.New("why: neither XDG_CACHE_HOME nor HOME says where the last build is remembered")
	}
	var r monitor.Record
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("why: no build is remembered in %s: mpmake and mprun do that when they end", file)
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return fmt.Errorf("why %s: %w", file, err)
	}
	if asJSON {
		return printJSON(env.Stdout, r)
	}
	_, err = io.WriteString(env.Stdout, r.Text(env.Now()))
	return err
}

// printAccount tells the story of a job.
func printAccount(w io.Writer, a ledger.Account, now time.Time) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	row := func(head, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", head, fmt.Sprintf(format, args...)) }
	row(fmt.Sprint("job ", a.ID), "%s", printable(a.Command))
	from := fmt.Sprintf("%s, by process %d of uid %d on %s", a.Received.Format("2006-01-02 15:04:05.000"), a.PID, a.UID, a.Home)
	if a.Dir != "" {
		from += ", in " + printable(a.Dir)
	}
	row("asked", "%s", from)
	for _, turn := range a.Turns {
		row("in vain", "%s, %s later: %s", turn.Node, span(turn.At.Sub(a.Received)), printable(turn.Why))
	}
	where := string(a.Node)
	if a.Node == a.Home {
		where = "here"
	}
	switch {
	case a.Node == "" && a.State == ledger.Withdrawn:
		row("never ran", "its caller went away after %s", span(a.Ended.Sub(a.Received)))
	case a.Node == "" || a.Started.IsZero():
		row("waits", "for a slot, since %s", span(now.Sub(a.Received)))
	default:
		row("ran", "%s, %s later: %s", where, span(a.Started.Sub(a.Received)), printable(monitor.Unwaited(a.Why)))
	}
	switch a.State {
	case ledger.Running, ledger.Starting:
		row("runs", "for %s so far", span(now.Sub(a.Started)))
	case ledger.Lost:
		row("lost", "after %s: %s", span(a.Ended.Sub(a.Started)), printable(a.Cause))
	case ledger.Missing:
		row("lost", "%s", printable(a.Cause))
	case ledger.Ended:
		row("ended", "%s", end(a))
	}
	if a.Late != nil && *a.Late > 0 {
		row("late", "by %s, by what was expected of the best other node", span(*a.Late))
	}
	t.Flush()
	if len(a.Considered) > 0 {
		fmt.Fprintln(t, "\nNODE\tEXPECTED\tWHY")
		for _, c := range a.Considered {
			expected := "-"
			if c.Cost > 0 {
				expected = span(c.Cost)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\n", c.Node, expected, printable(c.Why))
		}
		t.Flush()
	}
	return printLines(w, b.String())
}

// end is how a job ended and what it used. Of one that ran here the daemon knows when, and the rest only its caller.
func end(a ledger.Account) string {
	took := span(a.Ended.Sub(a.Started))
	if a.Node == a.Home {
		if a.Usage == (mexec.Usage{}) {
			return "after " + took
		}
		return fmt.Sprintf("after %s, with about %s of CPU time", took, span(a.Usage.User+a.Usage.System))
	}
	text := fmt.Sprintf("%v after %s, with %s of CPU time", a.Status, took, span(a.Usage.User+a.Usage.System))
	if a.Usage.MaxRSS > 0 {
		text += fmt.Sprintf(" and %d MiB", (a.Usage.MaxRSS+1<<10-1)>>10)
	}
	return text
}

// span is a time as short as it can be said.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	case d < 100*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// printable is a text of anybody's that no terminal obeys.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd {
			return '?'
		}
		return r
	}, s)
}
