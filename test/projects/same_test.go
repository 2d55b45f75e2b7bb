package projects_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mexec/test/same"
)

// difference names what is not the same in two builds' results, and says how many things were compared.
func (w *workshop) difference(t *testing.T, a, b result) (compared int, different []string) {
	t.Helper()
	if w.says != nil {
		x, y := w.said(a), w.said(b)
		for _, line := range x {
			if !slices.Contains(y, line) {
				different = append(different, line)
			}
		}
		if len(x) != len(y) {
			different = append(different, "the number of lines")
		}
		return len(x), different
	}
	if len(w.results) == 0 {
		equal, different, err := same.Compare(w.path(a.kind), w.path(b.kind))
		if err != nil {
			t.Fatal(err)
		}
		return equal + len(different), different
	}
	names := map[string]bool{}
	for _, kind := range []string{a.kind, b.kind} {
		for _, pattern := range w.results {
			found, _ := filepath.Glob(filepath.Join(w.path(kind), pattern))
			for _, path := range found {
				name, _ := filepath.Rel(w.path(kind), path)
				names[name] = true
			}
		}
	}
	for name := range names {
		x, errx := os.ReadFile(filepath.Join(w.path(a.kind), name))
		y, erry := os.ReadFile(filepath.Join(w.path(b.kind), name))
		if errx != nil || erry != nil || !bytes.Equal(host.ReplaceAll(x, nil), host.ReplaceAll(y, nil)) {
			different = append(different, name)
		}
	}
	return len(names), different
}

// host is the line in which libtool names the host that it was configured on, and means it.
var host = regexp.MustCompile(`(?m)^# Libtool was configured on host .*$`)

// said is what a test suite says of its tests, without the order and the blanks in it.
func (w *workshop) said(r result) []string {
	lines := w.says.FindAllString(r.out, -1)
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	slices.Sort(lines)
	return lines
}
