package ctl

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mexec"
)

// queryTime is how long nodes waits for the daemon, which answers from memory.
const queryTime = 10 * time.Second

func nodesCommand(env Env) *cobra.Command {
	var socket string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the nodes as this machine's daemon sees them",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if socket == "" {
				socket = Socket(env.Getenv)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), queryTime)
			defer cancel()
			nodes := []mexec.Node{}
			if err := Query(ctx, socket, "nodes", &nodes); err != nil {
				return err
			}
			slices.SortStableFunc(nodes, func(a, b mexec.Node) int {
				return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name))
			})
			if asJSON {
				e := json.NewEncoder(env.Stdout)
				e.SetIndent("", "  ")
				return e.Encode(nodes)
			}
			return printNodes(env.Stdout, nodes)
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "the daemon's socket `path` (default: $MEXEC_SOCKET, else as mexec finds it)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what the daemon says, as JSON")
	return cmd
}

// printNodes draws the table. The reason comes last: it is the only column of any length.
func printNodes(w io.Writer, nodes []mexec.Node) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NO\tNAME\tADDRESS\tSTATE\tSLOTS\tBUSY\tLOAD\tCLOCK\tVERSION\tWHY")
	for _, n := range nodes {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%d\t%d\t%.2f\t%s\t%s\t%s\n",
			n.Number, n.Name, n.Addr, n.State, n.Slots, n.Busy, n.Load, clock(n), n.Version, n.Why)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	// tabwriter pads up to the last tab, also where nothing follows.
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// clock is how far a node's clock is ahead of ours; zero to the nanosecond was never measured.
func clock(n mexec.Node) string {
	switch {
	case n.State == mexec.Self || n.Offset == 0:
		return "-"
	case n.Offset.Abs() < time.Second:
		return fmt.Sprintf("%+.1fms", n.Offset.Seconds()*1000)
	}
	return fmt.Sprintf("%+.1fs", n.Offset.Seconds())
}
