package simtest

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Main is the command mexecsim.
func Main(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mexecsim", flag.ContinueOnError)
	flags.SetOutput(stderr)
	write := flags.String("write", "", "run the whole catalogue and write the report and its plots into this `directory`")
	only := flags.String("only", "", "of the catalogue, only the sections of these `names`, with commas between")
	shape := flags.String("shape", "", "run one shape of the catalogue, by its `name`")
	scheduler := flags.String("scheduler", "", "with this `scheduler`; without it, with each")
	seed := flags.Uint64("seed", 1, "and this seed; of the catalogue the first of them")
	bars := flags.Bool("bars", false, "of the catalogue, only what says whether the bars are reached, ours and the ideals: for seeds that placement was not made with")
	list := flags.Bool("list", false, "list the shapes of the catalogue")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return 2
	}
	if *list {
		for _, s := range Catalogue() {
			for _, shape := range s.Shapes {
				fmt.Fprintf(stdout, "%-10s %-24s %s\n", s.Name, shape.Name, shape)
			}
		}
		return 0
	}
	if *shape != "" {
		return runOne(*shape, *scheduler, *seed, stdout, stderr)
	}
	sections := Catalogue()
	if *only != "" {
		sections = slices.DeleteFunc(sections, func(s Section) bool { return !slices.Contains(strings.Split(*only, ","), s.Name) })
	}
	if *bars {
		sections = Unseen(sections)
	}
	r := simulate(sections, *seed, stderr)
	if *write == "" {
		for _, s := range sections {
			fmt.Fprintf(stdout, "%s\n\n%s\n", s.Name, r.Table(s.Name))
		}
		fmt.Fprintf(stdout, "%s\n%s\n%s\n%s\nproblems: %s\n%d runs in %s\n", r.Fair(), r.Lost(), r.Builds(), r.Bars(), r.Problems(), r.Runs(), r.Took())
		if r.Problems() != none {
			return 1
		}
		return 0
	}
	written := r.write
	if *bars {
		written = r.writeSeeds
	}
	if err := written(*write); err != nil {
		fmt.Fprintf(stderr, "mexecsim: %v\n", err)
		return 1
	}
	if r.Problems() != none {
		return 1
	}
	return 0
}

func runOne(name, scheduler string, seed uint64, stdout, stderr io.Writer) int {
	shape, err := ShapeNamed(name)
	if err == nil && scheduler != "" && makers[scheduler] == nil {
		err = fmt.Errorf("scheduler %s: one of %s", scheduler, strings.Join(ideals, ", "))
	}
	if err != nil {
		fmt.Fprintf(stderr, "mexecsim: %v\n", err)
		return 2
	}
	fmt.Fprintf(stdout, "%s: %s, seed %d\n", shape.Name, shape, seed)
	code := 0
	for _, s := range ideals {
		if scheduler != "" && s != scheduler || scheduler == "" && len(shape.Faults) > 0 && s != "ours" {
			continue
		}
		r := Run(shape, s, seed)
		fmt.Fprintln(stdout, r)
		if len(r.Problems) > 0 {
			code = 1
		}
	}
	return code
}
