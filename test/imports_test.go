// Package test holds the tests of the whole: the rules that the repository keeps, and real daemons on real hosts.
package test

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "mexec"

// core are the packages that decide: pure functions of their arguments, so that a cluster can be simulated and replayed.
// Each may import these packages of ours besides the standard library.
var core = map[string][]string{
	"mexec":                  {},
	"mexec/internal/history": {"mexec"},
	"mexec/internal/ledger":  {"mexec"},
	"mexec/internal/monitor": {"mexec"},
	"mexec/internal/owner":   {},
	"mexec/internal/place":   {"mexec"},
	"mexec/internal/repeat":  {},
	"mexec/internal/wire":    {"mexec", "mexec/internal/wire/mexecpb"},
}

// coreFiles decide in packages that also act.
var coreFiles = []string{"internal/journal/kinds.go", "internal/journal/record.go", "internal/journal/ring.go", "internal/journal/tree.go", "internal/jobserver/elastic.go",
	"internal/jobserver/lender.go", "internal/jobserver/makeflags.go", "internal/jobserver/pool.go", "internal/policy/spawn.go", "internal/screen/block.go", "internal/trace/script.go",
	"internal/trace/stack.go"}

// impure are the packages by which a decision would reach for the world. net/netip is mere arithmetic.
var impure = regexp.MustCompile(`^(net|net/.*|os|os/.*|io/ioutil|log|log/.*|crypto/rand|runtime|runtime/.*|plugin)$`)

// api are the files of package mexec that are its Go API and no vocabulary: they start processes. impureNames keeps the core from them.
var api = []string{"command.go", "stub.go", "sure.go"}

// impureNames are what the other packages hold that is not a function of its arguments.
var impureNames = map[string]*regexp.Regexp{
	"mexec":        regexp.MustCompile(`^(Command|CommandContext|Exec|Options)$`),
	"time":         regexp.MustCompile(`^(Now|Since|Until|Sleep|After|AfterFunc|Tick|NewTicker|NewTimer|Local|LoadLocation)$`),
	"math/rand":    global,
	"math/rand/v2": global,
	"syscall":      regexp.MustCompile(`^(Kill|Exec|ForkExec|StartProcess|Wait4|Open|Read|Write|Close|Socket|Get.*|Set.*|Syscall.*|RawSyscall.*)$`),
}

// global is randomness that nobody was given; a *rand.Rand as an argument is fine.
var global = regexp.MustCompile(`^(Int.*|Uint.*|N|Float.*|NormFloat64|ExpFloat64|Perm|Shuffle|Seed)$`)

type source struct {
	path string // from the module's root
	pkg  string // import path
	file *ast.File
	fset *token.FileSet
	test bool
}

func (s source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

func (s source) imports() map[string]string { // path by the name that the file uses
	m := make(map[string]string)
	for _, i := range s.file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		name := path.Base(p)
		if name == "v2" {
			name = path.Base(path.Dir(p))
		}
		if i.Name != nil {
			name = i.Name.Name
		}
		m[name] = p
	}
	return m
}

func (s source) generated() bool { return ast.IsGenerated(s.file) }

func TestCorePackagesArePure(t *testing.T) {
	for _, s := range goFiles(t) {
		ours, ok := core[s.pkg]
		if !ok && !slices.Contains(coreFiles, s.path) || s.test || slices.Contains(api, s.path) {
			continue
		}
		if !ok {
			ours = []string{module}
		}
		names := s.imports()
		for _, p := range names {
			first, _, _ := strings.Cut(p, "/")
			switch {
			case impure.MatchString(p):
				t.Errorf("%s: a core package imports %s", s.path, p)
			case first == module && !slices.Contains(ours, p), strings.Contains(first, "."):
				t.Errorf("%s: a core package imports %s; %s may import %v and the standard library", s.path, p, s.pkg, ours)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a core package starts a goroutine", s.at(n))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Obj == nil {
					if bad := impureNames[names[x.Name]]; bad != nil && bad.MatchString(n.Sel.Name) {
						t.Errorf("%s: a core package uses %s.%s", s.at(n), x.Name, n.Sel.Name)
					}
				}
			}
			return true
		})
	}
}

// runsDaemon are the commands that hold a daemon: mexecd, and mpmake and mprun where no mexecd runs.
var runsDaemon = []string{"mexec/cmd/mexecd", "mexec/internal/drive"}

func TestImportsPointOneWay(t *testing.T) {
	for _, s := range goFiles(t) {
		for _, p := range s.imports() {
			switch {
			case p == "mexec/internal/daemon" && !s.test && !slices.Contains(runsDaemon, s.pkg):
				t.Errorf("%s imports %s: only %v run a daemon", s.path, p, runsDaemon)
			case strings.HasPrefix(p, "mexec/cmd/"):
				t.Errorf("%s imports %s: a command is the end of the line", s.path, p)
			case strings.HasPrefix(p, "mexec/test/") && !s.test && !strings.HasPrefix(s.pkg, "mexec/test/") && !strings.HasPrefix(s.pkg, "mexec/bench"):
				t.Errorf("%s imports %s: the product does not need its tests", s.path, p)
			case s.pkg == module && !s.test && strings.HasPrefix(p, "mexec/"):
				t.Errorf("%s imports %s: the vocabulary imports the standard library only", s.path, p)
			}
		}
	}
}

func TestEveryPackageSaysWhatItPromises(t *testing.T) {
	documented := make(map[string]bool)
	for _, s := range goFiles(t) {
		if !s.generated() && !strings.HasSuffix(s.file.Name.Name, "_test") { // an external test is part of its package
			documented[s.pkg] = documented[s.pkg] || s.file.Doc != nil
		}
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no doc comment", pkg)
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	generated := make(map[string]bool)
	for _, s := range goFiles(t) {
		generated[s.path] = s.generated()
	}
	for name, text := range files(t) {
		limit := 500
		switch base := filepath.Base(name); {
		case generated[name]:
			continue
		case strings.HasSuffix(base, "_test.go") || strings.HasPrefix(name, "libmexec/") && strings.Contains(base, "test"):
			limit = 900
		case !slices.Contains([]string{".go", ".c", ".h", ".sh", ".proto"}, filepath.Ext(base)):
			continue
		}
		if n := bytes.Count(text, []byte("\n")); n > limit {
			t.Errorf("%s has %d lines, more than %d: it holds more than one idea", name, n, limit)
		}
	}
}

// A sleep in a test is a guess, except between two looks at a condition, and in a synctest bubble, whose time is its own.
func TestTestsDoNotSleepOrSkipSilently(t *testing.T) {
	for _, s := range goFiles(t) {
		if !s.test {
			continue
		}
		names := s.imports()
		var loops []ast.Node
		ast.Inspect(s.file, func(n ast.Node) bool {
			if loop, ok := n.(*ast.ForStmt); ok {
				loops = append(loops, loop)
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, _ := sel.X.(*ast.Ident)
			switch {
			case sel.Sel.Name == "Sleep" && x != nil && names[x.Name] == "time" && names["synctest"] == "" && !within(call, loops):
				t.Errorf("%s: poll a condition with a deadline instead of time.Sleep", s.at(n))
			case sel.Sel.Name == "SkipNow", sel.Sel.Name == "Skip" && len(call.Args) == 0:
				t.Errorf("%s: a skip needs its reason", s.at(n))
			}
			return true
		})
	}
}

func within(n ast.Node, outer []ast.Node) bool {
	return slices.ContainsFunc(outer, func(o ast.Node) bool { return o.Pos() <= n.Pos() && n.End() <= o.End() })
}

// The slashes are in brackets so that this file passes its own rule.
var machinePath = regexp.MustCompile(`(^|[^\w.~-])[/](work|home|root)[/]\w`)

func TestNoFileNamesThePathsOfOneMachine(t *testing.T) {
	for name, text := range files(t) {
		for i, line := range bytes.Split(text, []byte("\n")) {
			if m := machinePath.FindSubmatch(line); m != nil && !(strings.HasSuffix(name, "_test.go") && string(m[2]) == "home") { // a made-up user's
				t.Errorf("%s:%d: %s", name, i+1, bytes.TrimSpace(line))
			}
		}
	}
}

func goFiles(t *testing.T) []source {
	t.Helper()
	var all []source
	for name, text := range files(t) {
		if filepath.Ext(name) != ".go" {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			t.Error(err)
			continue
		}
		all = append(all, source{name, path.Join(module, filepath.ToSlash(filepath.Dir(name))), f, fset, strings.HasSuffix(name, "_test.go")})
	}
	return all
}

// files are the texts of the repository, by their path from its root; what is built or fetched does not count.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	root := ".."
	all := make(map[string][]byte)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody's temporary file
		}
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, p)
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", "tmp"}, name) {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || name == ".git" { // a file in a second work tree
			return nil
		}
		text, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && bytes.IndexByte(text, 0) < 0 { // a NUL: not a text
			all[name] = text
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
