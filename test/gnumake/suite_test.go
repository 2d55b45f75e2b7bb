package gnumake_test

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mexec/test/hosts"
)

// A result is what the suite says of one category, which is one of its scripts. A case is one call of make and the comparison of its output.
type result struct {
	cases, passed int
	skipped       bool
	failed        map[string]string // case, as the suite's own files name it ("features/parallelism.4"): what is known of it
}

// A suite is one copy of make's tests, and the make that they shall test.
type suite struct {
	tree  string
	host  *hosts.Host
	cases map[string]result // by category; what failed has failed each time
}

// run runs some categories, or all of them, as `make check` does. A case that passes now and failed before is no failure: the suite has
// races of its own.
func (s *suite) run(ctx context.Context, categories ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := os.RemoveAll(filepath.Join(s.tree, "tests/work")); err != nil {
		return err
	}
	args := []string{"--reuid", user, "--regid", user, "--clear-groups", "sh", "-c", `ulimit -n 128; exec perl ./run_make_tests.pl -srcdir "$0" -make ../make "$@"`, s.tree}
	cmd := s.host.CommandContext(ctx, "setpriv", append(args, categories...)...)
	cmd.Dir = filepath.Join(s.tree, "tests")
	out, err := cmd.CombinedOutput() // its status only says whether all is well
	if ctx.Err() != nil || !regexp.MustCompile(`Categor(y|ies) (Failed|Complete)`).Match(out) {
		return fmt.Errorf("%s: the suite did not end: %v: %s", s.tree, err, out[max(0, len(out)-2000):])
	}
	files, err := s.failures()
	if err != nil {
		return err
	}
	for name, now := range parse(string(out), files) {
		if before, ok := s.cases[name]; ok {
			maps.DeleteFunc(now.failed, func(name, _ string) bool { return before.failed[name] == "" })
			now.passed = now.cases - len(now.failed)
		}
		s.cases[name] = now
	}
	return nil
}

var (
	heading   = regexp.MustCompile(`^(\w+/\S+) \.+ `)
	verdict   = regexp.MustCompile(`(ok +\((\d+) passed\)|FAILED \((\d+)/(\d+) passed\)|FAILED \(no tests found!\)|N/A)$`)
	caseFiles = regexp.MustCompile(`^(.*)\.(diff|run)((\.\d+)?)$`)
)

// parse reads what the suite printed. A test may print before its verdict.
func parse(out string, failed map[string]string) map[string]result {
	all := make(map[string]result)
	name := ""
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, " \n")
		if m := heading.FindStringSubmatch(line + " "); m != nil {
			name = m[1]
		}
		m := verdict.FindStringSubmatch(line)
		if m == nil || name == "" {
			continue
		}
		r := result{failed: make(map[string]string)}
		switch {
		case m[0] == "N/A":
			r.skipped = true
		case m[2] != "":
			r.passed, _ = strconv.Atoi(m[2])
			r.cases = r.passed
		default:
			r.passed, _ = strconv.Atoi(m[3])
			r.cases, _ = strconv.Atoi(m[4])
			for file, text := range failed {
				if file == name || strings.HasPrefix(file, name+".") {
					r.failed[file] = text
				}
			}
			if len(r.failed) != r.cases-r.passed || r.cases == 0 {
				r.failed[name+".?"] = line // it has left no file
			}
		}
		all[name] = r
		name = ""
	}
	return all
}

// failures are the cases of which files were left, and the difference between what make printed and what it should have.
func (s *suite) failures() (map[string]string, error) {
	work := filepath.Join(s.tree, "tests/work")
	all := make(map[string]string)
	err := filepath.WalkDir(work, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(work, path)
		m := caseFiles.FindStringSubmatch(name)
		if m == nil {
			return nil
		}
		text, err := os.ReadFile(path)
		if m[2] == "diff" || all[m[1]+m[3]] == "" {
			all[m[1]+m[3]] = string(text[:min(len(text), 4000)])
		}
		return err
	})
	return all, err
}
