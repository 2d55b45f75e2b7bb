// Package ctl is mexecctl: it makes a cluster and lets machines in, shows the nodes, empties one, and tells where commands ran and why.
//
// Run is the whole command; all that it knows of the process it runs in is its Env. It prints results to Stdout, and for an
// error one line to Stderr: exit status 2 for a command line that makes no sense, 1 for anything else that went wrong.
// init, token and join work on the state directory and need no daemon; what is asked of the last build is in its user's cache (Cached); all else
// the daemon answers. Query and Watch, which does not end by itself, are for other commands too.
package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mexec"
	"mexec/internal/config"
)

// Env is the process that the command runs in.
type Env struct {
	Args           []string // without the program's name
	Getenv         func(string) string
	Stdout, Stderr io.Writer
	Root           bool // effective uid 0
	Systemd        bool // systemd runs this machine
	Hostname       func() (string, error)
	Now            func() time.Time
}

// Process is the Env of this process.
func Process() Env {
	_, err := os.Stat("/run/systemd/system") // sd_booted(3)
	return Env{
		Args:     os.Args[1:],
		Getenv:   os.Getenv,
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,
		Root:     os.Geteuid() == 0,
		Systemd:  err == nil,
		Hostname: os.Hostname,
		Now:      time.Now,
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// Run does what the arguments say and gives the exit status.
func Run(ctx context.Context, env Env) int {
	root := &cobra.Command{
		Use:               "mexecctl",
		Short:             "Make a cluster of mexec nodes, let machines in, look at it",
		Version:           mexec.Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("no command %q: there are %s", args[0], commands(cmd))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetArgs(append([]string{}, env.Args...)) // nil would be the arguments of this process
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(initCommand(env), tokenCommand(env), joinCommand(env), nodesCommand(env), drainCommand(env), undrainCommand(env), whyCommand(env), traceCommand(env), completionCommand(env))
	root.SetHelpCommand(helpCommand())

	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(env.Stderr, "mexecctl: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

func commands(root *cobra.Command) string {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return strings.Join(names, ", ")
}

// helpCommand takes the place of cobra's own, which has no error for a command that there is not.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usageError{fmt.Errorf("no command %q: there are %s", strings.Join(args, " "), commands(cmd.Root()))}
			}
			return about.Help()
		},
	}
}

// exactly is cobra.ExactArgs with the words that the user was shown.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usageError{fmt.Errorf("%s: %s is missing", cmd.Name(), names[len(args)])}
		case len(args) > len(names):
			return usageError{fmt.Errorf("%s: %q is one argument too many", cmd.Name(), args[len(names)])}
		}
		return nil
	}
}

// place is what init, token and join have to know of the daemon's own configuration: they read it as the daemon will.
type place struct {
	config, state, name, advertise string
}

func (p *place) flags(cmd *cobra.Command, joins bool) {
	f := cmd.Flags()
	f.StringVar(&p.config, "config", "", "the daemon's configuration `file`")
	f.StringVar(&p.state, "state", "", "`directory` of the node's identity, as the daemon's --state")
	if joins {
		f.StringVar(&p.name, "name", "", "`name` of this node (default: the host name)")
		f.StringVar(&p.advertise, "advertise", "", "`host` or address that the other nodes reach this one by")
	}
}

func (p *place) load(env Env) (*config.Config, error) {
	var args []string
	for _, f := range [][2]string{{"config", p.config}, {"state", p.state}, {"advertise", p.advertise}} {
		if f[1] != "" {
			args = append(args, "--"+f[0]+"="+f[1])
		}
	}
	return config.Load(args, env.Getenv, env.Root)
}

func (p *place) node(env Env) (mexec.NodeID, error) {
	if p.name != "" {
		return mexec.NodeID(p.name), nil
	}
	host, err := env.Hostname()
	if err != nil {
		return "", fmt.Errorf("%w: give this node a --name", err)
	}
	// The first label: a cluster is seldom larger than a domain, and NODES is typed by people.
	host, _, _ = strings.Cut(host, ".")
	return mexec.NodeID(host), nil
}

// withPort gives a host the port of a daemon's address.
func withPort(host, addr string) string {
	_, port, _ := net.SplitHostPort(addr) // config.Load has checked it
	return net.JoinHostPort(host, port)
}

// start is how to start the daemon of this place. One that runs already was alone when it began, and stays so until it begins anew.
func (p *place) start(ctx context.Context, env Env, c *config.Config) string {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	words, unit := "Start the daemon here", "enable --now"
	if Query(ctx, c.Socket, "nodes", new([]mexec.Node)) == nil {
		words, unit = "The daemon here must be started anew to find this out", "restart"
	}
	line := "systemctl " + unit + " mexecd"
	if !env.Root || !env.Systemd || p.state != "" || p.config != "" {
		line = "mexecd"
		for _, f := range [][2]string{{"config", p.config}, {"state", p.state}, {"advertise", p.advertise}} {
			if f[1] != "" {
				line += " --" + f[0] + " " + f[1]
			}
		}
	}
	return words + ":\n\n    " + line + "\n"
}
