package projects_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mexec/test/debian"
	"mexec/test/hosts"
)

// workshop is where one row is built again and again, always in the directory work: paths end up in objects.
type workshop struct {
	row
	dir     string
	version string
}

func (w *workshop) path(name string) string { return filepath.Join(w.dir, name) }

// newWorkshop gets the sources and prepares them, once: what is there already is kept. Where that can't be it says why.
func newWorkshop(t *testing.T, r row) (w *workshop, missing string) {
	t.Helper()
	for _, tool := range r.needs {
		if !has(tool) {
			return nil, tool + " is not installed"
		}
	}
	base, err := filepath.Abs("../../tmp/projects")
	if err != nil {
		t.Fatal(err)
	}
	// What there is of Go in the projects is no part of ours: go vet ./... stops at the border of another module.
	if err := errors.Join(os.MkdirAll(base, 0o755), os.WriteFile(filepath.Join(base, "go.mod"), []byte("module projects\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	w = &workshop{row: r, dir: filepath.Join(base, strings.Map(wordly, r.name))}
	if _, err := os.Stat(w.path("ready")); err != nil {
		if err := errors.Join(os.RemoveAll(w.dir), os.MkdirAll(w.path("work"), 0o755)); err != nil {
			t.Fatal(err)
		}
		if r.made == "" {
			tree, err := w.sources(t, filepath.Join(base, "sources"))
			if err != nil {
				return nil, err.Error()
			}
			w.shell(t, `cp -a "`+tree+`/." .`)
		}
		w.shell(t, r.made)
		w.shell(t, r.prepare)
		if err := os.Rename(w.path("work"), w.path("ready")); err != nil {
			t.Fatal(err)
		}
	}
	w.version = w.readVersion(filepath.Join(base, "sources"))
	return w, ""
}

func wordly(r rune) rune {
	if strings.ContainsRune(" ,()", r) {
		return '-'
	}
	return r
}

// makeVersion is one whose sources have a configure.
const makeVersion = "4.4.1"

// sources are those of Debian. GNU make's come with no configure, but for those that another test makes ready.
func (w *workshop) sources(t *testing.T, into string) (tree string, err error) {
	if w.pkg != "make-dfsg" {
		return debian.Source(t.Context(), into, w.pkg)
	}
	tree = filepath.Join(into, w.pkg+"-"+makeVersion)
	if err := os.MkdirAll(into, 0o755); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(t.Context(), "../recompiled/sources.sh", makeVersion, tree).CombinedOutput(); err != nil {
		return "", fmt.Errorf("no sources of GNU make: %w: %s", err, out)
	}
	return tree, nil
}

// readVersion is that of the sources, or of the tool.
func (w *workshop) readVersion(sources string) string {
	if w.made != "" {
		out, _ := exec.Command("dpkg-query", "-W", "-f", "${Version}", w.pkg).Output()
		version, _, _ := strings.Cut(string(out), "-")
		return version[strings.Index(version, ":")+1:]
	}
	if w.pkg == "make-dfsg" {
		return makeVersion
	}
	found, _ := filepath.Glob(filepath.Join(sources, w.pkg+"_*"))
	for _, name := range found {
		if m := regexp.MustCompile(`_([^_]+?)(\.orig.*|[+-].*)?$`).FindStringSubmatch(name); m != nil {
			return m[1]
		}
	}
	return "?"
}

// shell runs a line of the preparation with all CPUs of the machine.
func (w *workshop) shell(t *testing.T, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir = w.path("work")
	cmd.Env = append(os.Environ(), environ("-j2")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("prepare %s: %v\n%s", w.name, err, out[max(0, len(out)-2000):])
	}
}

// path has the distribution's own tools and no others.
const path = "/usr/bin:/bin:/usr/sbin:/sbin"

func has(tool string) bool {
	for dir := range strings.SplitSeq(path, ":") {
		if info, err := os.Stat(filepath.Join(dir, tool)); err == nil && !info.IsDir() {
			return true
		}
	}
	return false
}

// environ fixes what builds bake in of their time, and hides repositories above us. jobs, if any, is for all that ask the environment.
func environ(jobs string) []string {
	env := []string{"PATH=" + path, "SOURCE_DATE_EPOCH=1000000000", "GIT_CEILING_DIRECTORIES=/", "LC_ALL=C"}
	if n, ok := strings.CutPrefix(jobs, "-j"); ok {
		env = append(env, "MAKEFLAGS="+jobs, "CMAKE_BUILD_PARALLEL_LEVEL="+n, "CTEST_PARALLEL_LEVEL="+n)
	}
	return env
}

// result is one build.
type result struct {
	kind    string // the directory that keeps it, and its log
	out     string // stdout
	elapsed time.Duration
	began   time.Time
}

// plain is the build by the plain tool, as many jobs at once as its host has slots.
func (w *workshop) plain(t *testing.T, kind string, h *hosts.Host, jobs int) result {
	t.Helper()
	line := strings.NewReplacer("mprun ", "", "mpmake", "make").Replace(w.command)
	return w.build(t, kind, h, line, fmt.Sprintf("-j%d", jobs))
}

// build runs the command in a fresh copy and puts the result aside as kind.
func (w *workshop) build(t *testing.T, kind string, h *hosts.Host, line, jobs string) result {
	t.Helper()
	work := w.path("work")
	if err := errors.Join(os.RemoveAll(work), os.RemoveAll(w.path(kind))); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", w.path("ready"), work).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v: %s", w.path("ready"), err, out)
	}
	log, err := os.Create(w.path(kind + ".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := h.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = work
	cmd.Env = append(cmd.Env, environ(jobs)...)
	cmd.Env = append(cmd.Env, "PATH="+h.Bin()+":"+path, "MEXEC_TRACE="+w.path(kind+".json"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, log
	r := result{kind: kind, began: time.Now()}
	err = cmd.Run()
	r.elapsed = time.Since(r.began)
	r.out = out.String()
	log.WriteString("\n--- stdout ---\n" + r.out)
	if err != nil {
		t.Fatalf("%s: %s: %v; see %s", kind, line, err, log.Name())
	}
	if err := os.Rename(work, w.path(kind)); err != nil {
		t.Fatal(err)
	}
	return r
}
