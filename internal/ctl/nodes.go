package ctl

import (
	"cmp"
	"context"
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
			socket := socketOr(socket, env)
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
				return printJSON(env.Stdout, nodes)
			}
			return printNodes(env.Stdout, nodes)
		},
	}
	socketFlag(cmd, &socket)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what the daemon says, as JSON")
	return cmd
}

// printNodes draws the table. The reason comes last: it is the only column of any length. What no node has is no column.
func printNodes(w io.Writer, nodes []mexec.Node) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	columns := slices.DeleteFunc(slices.Clone(nodeColumns), func(c nodeColumn) bool { return c.shown != nil && !c.shown(nodes) })
	for i, c := range columns {
		fmt.Fprint(t, tab(i), c.head)
	}
	fmt.Fprintln(t)
	for _, n := range nodes {
		for i, c := range columns {
			fmt.Fprint(t, tab(i), c.cell(n))
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return printLines(w, b.String())
}

// printLines prints what a tabwriter has made: it pads up to the last tab, also where nothing follows.
func printLines(w io.Writer, text string) error {
	for line := range strings.Lines(text) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func tab(column int) string {
	if column == 0 {
		return ""
	}
	return "\t"
}

// nodeColumn is a column of the table. shown tells whether there is anything to show in it; nil: always.
type nodeColumn struct {
	head  string
	shown func(nodes []mexec.Node) bool
	cell  func(n mexec.Node) string
}

var nodeColumns = []nodeColumn{
	{"NO", nil, func(n mexec.Node) string { return fmt.Sprint(n.Number) }},
	{"NAME", nil, func(n mexec.Node) string { return string(n.Name) }},
	{"ADDRESS", nil, func(n mexec.Node) string { return n.Addr }},
	{"STATE", nil, func(n mexec.Node) string { return string(n.State) }},
	{"SLOTS", nil, func(n mexec.Node) string { return fmt.Sprint(n.Slots) }},
	{"BUSY", nil, func(n mexec.Node) string { return fmt.Sprint(n.Busy) }},
	{"LOAD", nil, func(n mexec.Node) string { return fmt.Sprintf("%.2f", n.Load) }},
	{"FREE", some(func(n mexec.Node) bool { return n.Memory > 0 }), memory},
	{"SPEED", some(func(n mexec.Node) bool { return n.Speed > 0 }), speed},
	{"CLOCK", nil, clock},
	{"VERSION", nil, func(n mexec.Node) string { return n.Version }},
	{"ARCH", differ(func(n mexec.Node) string { return n.Arch }), func(n mexec.Node) string { return n.Arch }},
	{"LABELS", some(func(n mexec.Node) bool { return n.Labels != "" }), func(n mexec.Node) string { return n.Labels }},
	{"WHY", nil, func(n mexec.Node) string { return n.Why }},
}

// some is for what one node at least has.
func some(has func(mexec.Node) bool) func([]mexec.Node) bool {
	return func(nodes []mexec.Node) bool { return slices.ContainsFunc(nodes, has) }
}

// differ is for what is not the same on all nodes that have told.
func differ(text func(mexec.Node) string) func([]mexec.Node) bool {
	return func(nodes []mexec.Node) bool {
		first := ""
		for _, n := range nodes {
			switch s := text(n); {
			case s == "" || s == first:
			case first == "":
				first = s
			default:
				return true
			}
		}
		return false
	}
}

// memory is what a node has left for commands, of how much.
func memory(n mexec.Node) string {
	if n.Memory == 0 {
		return "-"
	}
	const gib = 1 << 30
	free := "-" // no link has told
	if n.Free >= 0 {
		free = fmt.Sprintf("%.1f", float64(n.Free)/gib)
	}
	return fmt.Sprintf("%s/%.1fG", free, float64(n.Memory)/gib)
}

// speed is how fast a node was found to be, by what this node takes for the same.
func speed(n mexec.Node) string {
	if n.Speed == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", n.Speed)
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
