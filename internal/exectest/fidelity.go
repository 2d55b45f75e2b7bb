package exectest

import (
	"fmt"
	"strings"
)

// Fidelity is the text of docs/FIDELITY.md.
func Fidelity(r *Report, runners []Runner) string {
	var b strings.Builder
	table := make([]string, 0, len(runners))
	for _, run := range runners {
		table = append(table, run.Name)
	}
	rows := r.Table(table)
	fmt.Fprintf(&b, `# Fidelity: what differs from execve

This file is the output of `+"`make conformance`"+`: %d tests, each done by the kernel's own execve and then in %d ways. What differs between the two,
of all that the program can see of itself, what it says and how it ends, must stand in the table of `+"`internal/exectest/declared.go`"+`, or the
test fails; what stands there and does not show any more fails too.

| column | what executes the program |
|---|---|
`, len(rows)-1, len(runners))
	for _, run := range runners {
		fmt.Fprintf(&b, "| %s | %s |\n", run.Name, run.Does)
	}
	b.WriteString(`
Mapped, and so not compared: a caller that may use some CPUs only gets as many of the other node's, which that node chooses.
`)
	b.WriteString("\n## The differences\n\n| | what | where | why |\n|---:|---|---|---|\n")
	for i, d := range Declared {
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", i+1, d.Name, strings.Join(d.Runners, ", "), d.Why)
	}
	b.WriteString("\n## The tests\n\n`=`: all is the same; a number: but for that difference. Those that show everywhere are not repeated.\n\n")
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|---" + strings.Repeat("|:-:", len(row)-1) + "|\n")
		}
	}
	return b.String()
}
