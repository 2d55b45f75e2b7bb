package ctl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mexec/internal/ledger"
	"mexec/internal/monitor"
)

// traceLook is how often a live trace asks for what has ended: the daemon remembers some thousands.
const traceLook = 500 * time.Millisecond

func traceCommand(env Env) *cobra.Command {
	var socket string
	var build bool
	var last int
	cmd := &cobra.Command{
		Use:   "trace [FILE]",
		Short: "Record what commands took, for simulations of placement",
		Long: `Record what commands took, for simulations of placement: a line of JSON for
each, with when it was asked for (at), how long it ran (wall) and what it used
(cpu, in nanoseconds like the others; memory, in bytes), its build, its kind,
its command and its node.

Without an option commands are recorded that are asked for and end from now on,
until Ctrl-C. What ran on this node is no child of the daemon's: its cpu and
memory are what that saw of them, in ticks of 10 ms and 0 where it was too
short. With --last-build they are exact, since mpmake and mprun wait for it.

FILE must not be there yet; without one the lines go to stdout.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("trace: %q is one argument too many", args[1])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if build && last > 0 {
				return usageError{errors.New("trace: --last-build and --last: which of both?")}
			}
			if cmd.Flags().Changed("last") && last < 1 {
				return usageError{fmt.Errorf("trace: --last %d: not a number from 1", last)}
			}
			out := env.Stdout
			if len(args) > 0 {
				f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
				if err != nil {
					return fmt.Errorf("trace: %w", err)
				}
				defer func() { err = errors.Join(err, f.Close()) }()
				out = f
			}
			n := 0
			switch socket := socketOr(socket, env); {
			case build:
				n, err = traceBuild(env, out)
			case last > 0:
				n, err = traceLast(cmd.Context(), socket, out, last)
			default:
				n, err = traceLive(cmd.Context(), env, socket, out)
			}
			if err == nil && len(args) > 0 {
				fmt.Fprintf(env.Stderr, "%s in %s\n", commandsWord(n), args[0])
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&build, "last-build", false, "of the last mpmake or mprun of this user")
	cmd.Flags().IntVar(&last, "last", 0, "of the last `n` commands that this machine's daemon remembers")
	socketFlag(cmd, &socket)
	return cmd
}

// traceBuild copies what the last build has left.
func traceBuild(env Env, out io.Writer) (n int, err error) {
	file := Cached(env.Getenv, LastBuildTrace)
	if file == "" {
		return 0, errors.New("trace: neither XDG_CACHE_HOME nor HOME says where the last build is remembered")
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("trace: no build is remembered in %s: mpmake and mprun do that when they end", file)
	}
	if err == nil {
		_, err = out.Write(b)
	}
	return bytes.Count(b, []byte("\n")), err
}

// traceLast writes the last jobs, with the first that was asked for as the begin.
func traceLast(ctx context.Context, socket string, out io.Writer, last int) (int, error) {
	jobs, _, err := endedFrom(ctx, socket, 0)
	if err != nil {
		return 0, err
	}
	jobs = slices.DeleteFunc(jobs, never)
	jobs = jobs[max(0, len(jobs)-last):]
	slices.SortStableFunc(jobs, func(a, b ledger.Job) int { return a.Received.Compare(b.Received) })
	if len(jobs) == 0 {
		return 0, errors.New("trace: no command of yours is remembered here")
	}
	return len(jobs), writeJobs(out, jobs, jobs[0].Received)
}

// traceLive writes jobs as they end until ctx does.
func traceLive(ctx context.Context, env Env, socket string, out io.Writer) (n int, err error) {
	began := env.Now()
	_, next, err := endedFrom(ctx, socket, 0)
	if err != nil {
		return 0, err
	}
	for {
		over := false
		select {
		case <-ctx.Done():
			over = true // and what has ended by now
		case <-time.After(traceLook):
		}
		var jobs []ledger.Job
		if jobs, next, err = endedFrom(context.WithoutCancel(ctx), socket, next); err != nil {
			return n, err
		}
		jobs = slices.DeleteFunc(jobs, func(j ledger.Job) bool { return never(j) || j.Received.Before(began) })
		if err := writeJobs(out, jobs, began); err != nil {
			return n, err
		}
		if n += len(jobs); over {
			return n, nil
		}
	}
}

// never is of a job that never ran to its end.
func never(j ledger.Job) bool { return j.State != ledger.Ended || j.Started.IsZero() }

func endedFrom(ctx context.Context, socket string, from int) ([]ledger.Job, int, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	var e ledger.Tail
	err := Query(ctx, socket, fmt.Sprint("ended ", from), &e)
	return e.Jobs, e.Next, err
}

func writeJobs(out io.Writer, jobs []ledger.Job, began time.Time) error {
	w := bufio.NewWriter(out)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for i := range jobs {
		j := &jobs[i]
		line := monitor.JobLine{
			At: j.Received.Sub(began), Wall: j.Ended.Sub(j.Started), CPU: j.Usage.User + j.Usage.System, Memory: j.Usage.MaxRSS << 10,
			Build: string(j.Build), Kind: monitor.Kind(j.Command), Command: j.Command, Node: j.Node,
		}
		if err := e.Encode(line); err != nil {
			return err
		}
	}
	return w.Flush()
}
