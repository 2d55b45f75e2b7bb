package config

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Table is the one table of all settings, in Markdown, for the README.
func Table() string {
	var b strings.Builder
	b.WriteString("| in the file | flag | variable | default | meaning |\n|---|---|---|---|---|\n")
	for _, s := range settings {
		key := "`" + s.name + "`"
		if s.name == "config" {
			key = "" // a file does not name another
		}
		fmt.Fprintf(&b, "| %s | `--%s` | `%s` | %s | %s |\n", key, s.name, s.variable(), s.standardText("`"), s.meaning)
	}
	return b.String()
}

// Usage is the same for --help.
func Usage() string {
	var b strings.Builder
	b.WriteString("usage: mexecd [FLAG…] [ADDRESS MASK | NETWORK/BITS]…\n\n")
	for _, s := range settings {
		flag := "--" + s.name
		if s.kind != boolean {
			flag += " " + strings.ToUpper(s.kindWord())
		}
		fmt.Fprintf(&b, "  %s\n        %s\n        (%s; default: %s)\n", flag, s.meaning, s.variable(), s.standardText(""))
	}
	b.WriteString("  --check-config\n        print what the daemon would run by and where each value comes from, and end\n")
	return b.String()
}

func (s *setting) standardText(quote string) string {
	if s.shown != "" {
		return s.shown
	}
	return quote + s.fallback + quote
}

func (s *setting) kindWord() string {
	switch {
	case s.list:
		return "a,b,…"
	case s.kind == number:
		return "n"
	}
	return "text"
}

// Print writes the configuration as a file that would give it again, with the origin of each value.
func (c *Config) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, s := range settings {
		line := s.name + " = " + s.toml(s.get(c))
		if s.name == "config" {
			line = "# " + line
		}
		fmt.Fprintf(t, "%s\t# %s\n", line, c.from[s.name])
	}
	return t.Flush()
}

func (s *setting) toml(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	switch {
	case s.list:
		return "[" + strings.Join(quoted, ", ") + "]"
	case s.kind != text:
		return values[0]
	}
	return quoted[0]
}
