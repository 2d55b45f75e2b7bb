package ctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mexec"
	nodewish "mexec/internal/place"
)

// look is how often drain --wait asks how many guests are left.
const look = 200 * time.Millisecond

func drainCommand(env Env) *cobra.Command {
	var socket, why string
	var wait bool
	var patience time.Duration
	cmd := &cobra.Command{
		Use:               "drain [NODE…]",
		ValidArgsFunction: cobra.NoFileCompletions,
		Short:             "Let this node take no more commands of other nodes",
		Long: `Let this node take no more commands of other nodes. Those that run here end in
their own time, new ones go elsewhere, and what this node's own users start
runs here as before. All nodes see it, with the reason, and it holds until
mexecctl undrain, restarts of the daemon included.

A node is drained by its own daemon only, and by root or the user whose daemon
it is. NODE is for scripts that run on all nodes: a node that is not among them
says so.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(why) != why || strings.ContainsAny(why, "\n\r") {
				return usageError{errors.New("drain: --why is not one line of text")}
			}
			if patience != 0 && !wait || patience < 0 {
				return usageError{fmt.Errorf("drain: --timeout %v: how long --wait waits at most", patience)}
			}
			socket := socketOr(socket, env)
			if err := mine(cmd.Context(), socket, "drain", args); err != nil {
				return err
			}
			state, err := tellDrain(cmd.Context(), socket, strings.TrimSpace("drain "+why))
			if err != nil {
				return err
			}
			if !wait {
				fmt.Fprintln(env.Stdout, drainLine(state))
				return nil
			}
			return awaitGuests(cmd.Context(), env, socket, state, patience)
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the `reason`, for people: mexecctl nodes shows it everywhere")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when the last command of another node has ended")
	cmd.Flags().DurationVar(&patience, "timeout", 0, "with --wait: how long to wait at most; 0: for ever")
	socketFlag(cmd, &socket)
	return cmd
}

func undrainCommand(env Env) *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:               "undrain [NODE…]",
		ValidArgsFunction: cobra.NoFileCompletions,
		Short:             "Let this node take commands of other nodes again",
		RunE: func(cmd *cobra.Command, args []string) error {
			socket := socketOr(socket, env)
			if err := mine(cmd.Context(), socket, "undrain", args); err != nil {
				return err
			}
			state, err := tellDrain(cmd.Context(), socket, "undrain")
			if err != nil {
				return err
			}
			fmt.Fprintln(env.Stdout, drainLine(state))
			return nil
		},
	}
	socketFlag(cmd, &socket)
	return cmd
}

func socketFlag(cmd *cobra.Command, socket *string) {
	cmd.Flags().StringVar(socket, "socket", "", "the daemon's socket `path` (default: $MEXEC_SOCKET, else as mexec finds it)")
}

func socketOr(socket string, env Env) string {
	if socket == "" {
		return Socket(env.Getenv)
	}
	return socket
}

// mine checks that this node is among those that are named, and no other: one is drained by its own daemon only.
func mine(ctx context.Context, socket, what string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	wish, err := nodewish.ParseNodes(strings.Join(names, ","))
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", what, err)}
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	var nodes []mexec.Node
	if err := Query(ctx, socket, "nodes", &nodes); err != nil {
		return err
	}
	var others []string
	self := false
	for i := range nodes {
		switch n := &nodes[i]; {
		case !wish.Match(n):
		case n.State == mexec.Self:
			self = true
		default:
			others = append(others, string(n.Name))
		}
	}
	slices.Sort(others)
	switch {
	case len(others) == 1:
		return fmt.Errorf("%s: %s is not this node, and only its own daemon can do that: run this there: mexecctl %[1]s", what, others[0])
	case len(others) > 1:
		return fmt.Errorf("%s: %s are not this node, and only their own daemons can do that: run this on each: mexecctl %[1]s", what, strings.Join(others, ", "))
	case !self:
		return fmt.Errorf("%s: there is no node %s", what, strings.Join(names, ","))
	}
	return nil
}

// tellDrain asks one of the queries that are answered by a mexec.Drain.
func tellDrain(ctx context.Context, socket, query string) (state mexec.Drain, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	err = Query(ctx, socket, query, &state)
	if no := new(refusal); errors.As(err, no) {
		return state, errors.New(string(*no)) // it says all that there is to say
	}
	return state, err
}

// awaitGuests returns when nothing of other nodes runs here any more.
func awaitGuests(ctx context.Context, env Env, socket string, state mexec.Drain, patience time.Duration) error {
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	said := -1
	for {
		switch {
		case !state.Draining:
			return errors.New("drain: somebody has ended it: this node takes commands of others again")
		case state.Guests == 0:
			fmt.Fprintln(env.Stdout, drainLine(state))
			return nil
		case state.Guests != said:
			said = state.Guests
			fmt.Fprintln(env.Stdout, drainLine(state))
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("drain: not over after %v: %s of other nodes still here", patience, commandsWord(state.Guests))
			}
			return ctx.Err()
		}
		var err error
		if state, err = tellDrain(context.WithoutCancel(ctx), socket, "guests"); err != nil {
			return err
		}
	}
}

func drainLine(s mexec.Drain) string {
	line := "takes commands of other nodes"
	if s.Draining {
		line = "draining"
		if s.Why != "" {
			line += " (" + s.Why + ")"
		}
	}
	switch {
	case s.Guests == 0 && s.Draining:
		return line + ": no command of another node runs here"
	case s.Guests == 0 || !s.Draining:
		return line
	}
	return fmt.Sprintf("%s: %s of other nodes still here", line, commandsWord(s.Guests))
}

func commandsWord(n int) string {
	if n == 1 {
		return "1 command"
	}
	return fmt.Sprint(n, " commands")
}
