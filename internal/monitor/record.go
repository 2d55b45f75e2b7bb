package monitor

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"mexec"
)

// Record is what is kept of a build that is over, for whoever asks why its commands ran where they did. It does not grow with the build.
type Record struct {
	Build   mexec.BuildID `json:"build"`
	Name    string        `json:"name"` // of ours: mpmake or mprun
	Command string        `json:"command"`
	Dir     string        `json:"dir"`
	Began   time.Time     `json:"began"`
	Elapsed time.Duration `json:"elapsed_ns"`
	CPU     time.Duration `json:"cpu_ns"`
	There   time.Duration `json:"cpu_elsewhere_ns"`
	Placed  int           `json:"placed"`  // commands that were offered to the cluster and ran
	Away    int           `json:"away"`    // of these, on other nodes
	Kept    int           `json:"kept"`    // commands that were not offered
	Drivers int           `json:"drivers"` // likewise, whose own commands were
	Lost    int           `json:"lost,omitempty"`
	Reran   int           `json:"ran_again,omitempty"`
	Refused int           `json:"refused,omitempty"`
	Note    string        `json:"note,omitempty"` // what is to be said of all of it

	Nodes    []RecordNode    `json:"nodes"`
	Stayed   []RecordStay    `json:"stayed"`   // by reason, the costliest first
	Refusals []RecordRefusal `json:"refusals"` // the most frequent first
	Slowest  []RecordCommand `json:"slowest"`
	Waits    []RecordCommand `json:"waits"` // those that waited longest for a slot
}

// RecordNode is a node, and what of the build ran there.
type RecordNode struct {
	Name     mexec.NodeID  `json:"name"`
	Home     bool          `json:"home,omitempty"`
	Slots    int           `json:"slots"`
	Commands int           `json:"commands"` // that were placed there
	CPU      time.Duration `json:"cpu_ns"`
}

// RecordStay sums the commands that stayed here for one reason.
type RecordStay struct {
	Why      string        `json:"why"`
	Offered  bool          `json:"offered"`  // it is placement's reason, and not the shim's
	Programs []string      `json:"programs"` // some of them, the costliest first; of what was offered none
	N        int           `json:"commands"`
	CPU      time.Duration `json:"cpu_ns"`
	Took     time.Duration `json:"took_ns"`
	Late     time.Duration `json:"late_ns,omitempty"` // that they ended later than was expected of the best other node, as far as something was
}

// RecordRefusal is a node's reason not to take commands.
type RecordRefusal struct {
	Why string `json:"why"`
	N   int    `json:"times"`
}

// RecordCommand is one command.
type RecordCommand struct {
	Job    mexec.JobID   `json:"job,omitempty"` // of this node's daemon; 0: it is none of its
	Text   string        `json:"command"`
	Node   mexec.NodeID  `json:"node"`
	Took   time.Duration `json:"took_ns"`
	Waited time.Duration `json:"waited_ns"`
	CPU    time.Duration `json:"cpu_ns"`
	Why    string        `json:"why"`
}

// Record sums up a build that is over. daemon is what the events of this node's daemon are marked by.
func (m *Model) Record(t Total, build mexec.BuildID, command, dir, daemon string) Record {
	r := Record{
		Build: build, Name: t.Name, Command: cut(valid(command), 400, "…"), Dir: valid(dir), Began: m.Began, Elapsed: t.Elapsed, CPU: m.CPU(t), There: m.There,
		Placed: m.started(t), Kept: m.KeptN, Lost: max(m.LostN, t.Lost), Reran: max(m.Reran, t.Reruns), Refused: m.Refused,
	}
	by := m.startedBy(t)
	for _, n := range m.Nodes() {
		r.Nodes = append(r.Nodes, RecordNode{n.Name, n.Home, n.Slots, by[n.Name], n.CPU})
		if !n.Home {
			r.Away += by[n.Name]
		}
	}
	kept := map[string]*RecordStay{}
	for _, s := range m.Stays() { // the costliest first, and so are the programs
		if s.Drives {
			r.Drivers += s.N
		}
		if s.Drives || s.N == 0 {
			continue
		}
		k := kept[s.Why]
		if k == nil {
			k = &RecordStay{Why: valid(s.Why)}
			kept[s.Why] = k
		}
		if len(k.Programs) < manyPrinted {
			k.Programs = append(k.Programs, valid(s.Program))
		}
		k.N += s.N
		k.CPU += s.CPU
		k.Took += s.Took
	}
	for _, k := range kept {
		r.Stayed = append(r.Stayed, *k)
	}
	for _, s := range m.Local {
		r.Stayed = append(r.Stayed, RecordStay{Why: valid(s.Why), Offered: true, N: s.N, CPU: s.CPU, Took: s.Took, Late: s.Late})
	}
	slices.SortFunc(r.Stayed, func(a, b RecordStay) int {
		return cmp.Or(cmp.Compare(b.CPU, a.CPU), cmp.Compare(b.Took, a.Took), cmp.Compare(b.N, a.N), strings.Compare(a.Why, b.Why))
	})
	for why, n := range m.Refusals {
		r.Refusals = append(r.Refusals, RecordRefusal{valid(why), n})
	}
	slices.SortFunc(r.Refusals, func(a, b RecordRefusal) int { return cmp.Or(cmp.Compare(b.N, a.N), strings.Compare(a.Why, b.Why)) })
	r.Slowest, r.Waits = commands(m.Slowest, daemon), commands(m.Waits, daemon)
	slices.SortStableFunc(r.Slowest, func(a, b RecordCommand) int { return cmp.Compare(b.Took, a.Took) }) // some were found to have been faster
	return r
}

// manyPrinted is of how many programs a list has the names.
const manyPrinted = 4

func commands(all []*Command, daemon string) (some []RecordCommand) {
	for _, c := range all {
		r := RecordCommand{Text: valid(c.Text), Node: c.Node, Took: c.Took(c.End), Waited: c.Waited(), CPU: cpu(c.Usage), Why: valid(c.Why)}
		if c.Source == daemon {
			r.Job = c.Job
		}
		some = append(some, r)
	}
	return some
}

// reason is what many commands have in common of why they ran where they did: without what was counted and measured for one of them.
func reason(why string) string {
	why = Unwaited(why)
	if before, count, ok := strings.Cut(why, ": "); ok && count != "" && count[0] >= '0' && count[0] <= '9' {
		return before
	}
	return why
}

// Unwaited is why a command ran where it did without how long it had waited, where that is told beside.
func Unwaited(why string) string {
	why, _, _ = strings.Cut(why, ", after ")
	return why
}

// Text says it to a person.
func (r *Record) Text(now time.Time) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("%s: %s", r.Name, cut(plain(r.Command), 100, "…"))
	say("in %s, %s ago: %s in %.1f s%s", plain(r.Dir), ago(now.Sub(r.Began)-r.Elapsed), plural(r.Placed+r.Kept, "command"), r.Elapsed.Seconds(), r.shares())
	if r.Note != "" {
		say("%s.", plain(r.Note))
	} else {
		say("%s", r.verdict())
	}
	if len(r.Nodes) > 0 {
		say("")
		rows := [][]string{{"NODE", "SLOTS", "COMMANDS", "CPU"}}
		for _, n := range r.Nodes {
			name := plain(string(n.Name))
			if n.Home {
				name += " (here)"
			}
			rows = append(rows, []string{name, fmt.Sprint(n.Slots), fmt.Sprint(n.Commands), seconds(n.CPU)})
		}
		table(&b, rows)
	}
	if len(r.Stayed) > 0 {
		say("")
		rows := [][]string{{"STAYED HERE, AND WHY", "COMMANDS", "CPU", "LATER BY"}}
		for _, s := range r.Stayed {
			why := plain(s.Why)
			if len(s.Programs) > 0 {
				why += ": " + plain(strings.Join(s.Programs, ", "))
			}
			late := "-"
			if s.Late > 0 {
				late = seconds(s.Late)
			}
			rows = append(rows, []string{cut(why, 70, "…"), fmt.Sprint(s.N), seconds(s.CPU), late})
		}
		table(&b, rows)
	}
	if len(r.Refusals) > 0 {
		say("")
		rows := [][]string{{"REFUSED BY", "TIMES"}}
		for _, f := range r.Refusals[:min(len(r.Refusals), manyPrinted)] {
			rows = append(rows, []string{cut(plain(f.Why), 90, "…"), fmt.Sprint(f.N)})
		}
		table(&b, rows)
	}
	for _, list := range []struct {
		head     string
		commands []RecordCommand
	}{{"SLOWEST", r.Slowest}, {"WAITED LONGEST", r.Waits}} {
		if len(list.commands) == 0 {
			continue
		}
		say("")
		rows := [][]string{{list.head, "JOB", "NODE", "TOOK", "WAITED", "WHY THERE"}}
		for _, c := range list.commands[:min(len(list.commands), manyPrinted)] {
			job := "-"
			if c.Job != 0 {
				job = fmt.Sprint(c.Job)
			}
			rows = append(rows, []string{cut(short(plain(c.Text)), 40, "…"), job, plain(string(c.Node)), seconds(c.Took), seconds(c.Waited), cut(plain(Unwaited(c.Why)), 60, "…")})
		}
		table(&b, rows)
	}
	return b.String()
}

// shares is how much of the work was done elsewhere.
func (r *Record) shares() string {
	if r.CPU < time.Second/10 {
		return ""
	}
	return fmt.Sprintf(", %s of CPU time, %.0f %% of it on other nodes", seconds(r.CPU), 100*r.There.Seconds()/r.CPU.Seconds())
}

// verdict is the answer in one line to what people ask first: why does it all run here?
func (r *Record) verdict() string {
	here := r.Placed - r.Away
	all := r.Placed + r.Kept
	most := RecordStay{}
	for _, s := range r.Stayed {
		if s.N > most.N {
			most = s
		}
	}
	switch {
	case all == 0:
		return "No command of it was seen."
	case r.Away == 0:
		return fmt.Sprintf("Nothing went to another node; most often because: %s (%s).", plain(most.Why), plural(most.N, "command"))
	}
	return fmt.Sprintf("%s went to other nodes, %d were placed here, %d were not offered.", plural(r.Away, "command"), here, r.Kept)
}

// short is a command's text with its program's name for its path, and without the shell that a make puts before it.
func short(text string) string {
	words := strings.SplitN(text, " ", 3)
	if strings.HasSuffix(words[0], "sh") && len(words) == 3 && words[1] == "-c" {
		return words[2]
	}
	words[0] = path.Base(words[0])
	return strings.Join(words, " ")
}

// ago is how long ago something was, in the one unit that says it.
func ago(d time.Duration) string {
	switch s := int(max(0, d).Seconds()); {
	case s < 120:
		return fmt.Sprint(s, " s")
	case s < 2*3600:
		return fmt.Sprint(s/60, " min")
	case s < 48*3600:
		return fmt.Sprint(s/3600, " h")
	default:
		return fmt.Sprint(s/86400, " days")
	}
}

// table sets rows in columns. Its lines have no blanks at their ends.
func table(b *strings.Builder, rows [][]string) {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush() // a Builder takes all
	for line := range strings.Lines(text.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}
