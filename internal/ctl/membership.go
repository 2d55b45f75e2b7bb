package ctl

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/spf13/cobra"

	"mexec/internal/config"
	"mexec/internal/ident"
)

func initCommand(env Env) *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a cluster; this machine is its first node and the one that lets others in",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.load(env)
			if err != nil {
				return err
			}
			name, err := p.node(env)
			if err != nil {
				return err
			}
			host := c.Advertise
			if host == "" {
				if host, err = config.OutgoingHost(); err != nil {
					return err
				}
			}
			id, err := ident.Init(c.State, name, withPort(host, c.Gossip))
			if err != nil {
				return err
			}
			token, err := id.Token(ident.DefaultTTL, env.Now())
			if err != nil {
				return err
			}
			fmt.Fprintf(env.Stdout, "Made cluster %s in %s. This machine is node %d, %s.\n\n", id.Cluster, c.State, id.Number, id.Name)
			fmt.Fprintln(env.Stdout, p.start(cmd.Context(), env, c))
			fmt.Fprintf(env.Stdout, "Then run this on each machine that is to join, within %v:\n\n    %s\n\n", short(ident.DefaultTTL), joinLine(c, host, token))
			fmt.Fprintf(env.Stdout, "After that, mexecctl token lets more machines in.\n")
			return nil
		},
	}
	p.flags(cmd, true)
	return cmd
}

func tokenCommand(env Env) *cobra.Command {
	var p place
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print the line that lets machines join, on the node that made the cluster",
		Args:  exactly(),
		RunE: func(*cobra.Command, []string) error {
			c, err := p.load(env)
			if err != nil {
				return err
			}
			id, err := ident.Load(c.State)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("token: %s holds no identity: mexecctl init makes a cluster", c.State)
			}
			if err != nil {
				return err
			}
			token, err := id.Token(ttl, env.Now())
			if err != nil {
				return err
			}
			host := c.Advertise
			if host == "" {
				host, _, _ = net.SplitHostPort(id.Advertise)
			}
			fmt.Fprintln(env.Stdout, joinLine(c, host, token))
			return nil
		},
	}
	p.flags(cmd, false)
	cmd.Flags().DurationVar(&ttl, "ttl", ident.DefaultTTL, "how long it lets machines in")
	return cmd
}

func joinCommand(env Env) *cobra.Command {
	var p place
	var token string
	cmd := &cobra.Command{
		Use:   "join HOST:PORT --token TOKEN",
		Short: "Make this machine a node of the cluster that the token is from",
		Args:  exactly("HOST:PORT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if token == "" {
				return usageError{errors.New("join: --token is missing: mexecctl token prints one on the cluster's first node")}
			}
			if host, port, err := net.SplitHostPort(args[0]); err != nil || host == "" || port == "" {
				return usageError{fmt.Errorf("join: %q: not HOST:PORT", args[0])}
			}
			c, err := p.load(env)
			if err != nil {
				return err
			}
			name, err := p.node(env)
			if err != nil {
				return err
			}
			// No host: the one that reaches HOST:PORT is the best guess.
			id, err := ident.Join(cmd.Context(), c.State, args[0], token, name, withPort(c.Advertise, c.Gossip))
			if err != nil {
				return err
			}
			fmt.Fprintf(env.Stdout, "This machine is node %d, %s, of cluster %s.\n\n", id.Number, id.Name, id.Cluster)
			fmt.Fprint(env.Stdout, p.start(cmd.Context(), env, c))
			return nil
		},
	}
	p.flags(cmd, true)
	cmd.Flags().StringVar(&token, "token", "", "`token` that mexecctl init or mexecctl token printed")
	return cmd
}

func joinLine(c *config.Config, host, token string) string {
	return fmt.Sprintf("mexecctl join %s --token %s", withPort(host, c.Listen), token)
}

// short is 1h for what time prints as 1h0m0s.
func short(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}
