package system_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mexec/test/hosts"
	"mexec/test/tools"
)

// GNU make's own suite (test/gnumake) has each option and feature in depth, with every recipe on another node; this is the short list of them with mpmake itself, its policy
// and its jobs, and what that suite has not: --trace, and who gets the standard input.
var asMake = []struct {
	name, args, makefile string
	env, stdin           string
	built                bool // make has run once before
	modern               bool // make 4.4 only
}{
	{name: "-k", args: "-k -j3"},
	{name: "-n", args: "-n"},
	{name: "-q, to do", args: "-q"},
	{name: "-q, done", args: "-q a", built: true},
	{name: "-t", args: "-t a c"},
	{name: "-i", args: "-i -j2"},
	{name: "-s", args: "-s a c"},
	{name: "-B", args: "-B a c", built: true},
	{name: "-O", args: "-O -j3 -k"},
	{name: "-Onone", args: "-Onone -j3 -k"},
	{name: "-Oline", args: "-Oline -j3 -k"},
	{name: "-Orecurse", args: "-Orecurse -j3 -k"},
	{name: "--trace", args: "--trace a c"},
	{name: "--shuffle", args: "--shuffle=reverse a c nested", modern: true},
	{name: "nested with its own -j", args: "-j4 nested2"},
	{name: "MAKEFLAGS", args: "a b c", env: "MAKEFLAGS=k"},
	{name: "MAKEFLAGS with -j", args: "a b c", env: "MAKEFLAGS=kj3"},
	{name: "the status of a target", args: "b"},
	{name: "a target that dies", args: "dies"},
	{name: "no rule", args: "none"},
	{name: ".ONESHELL", makefile: ".ONESHELL:\nall:\n\tX=1\n\techo $$X\n"},
	{name: ".SHELLFLAGS", makefile: ".SHELLFLAGS = -euc\nall: ; echo $$UNSET; echo on\n"},
	{name: "SHELL", makefile: "SHELL = /bin/bash\nall: ; echo $${BASH##*/}; [[ a == a ]]\n"},
	{name: "SHELL that is none", makefile: ".ONESHELL:\nSHELL = /usr/bin/perl\n.SHELLFLAGS = -e\nall:\n\tmy $$x = 6;\n\tprint $$x * 7, \"\\n\";\n"},
	{name: "$(shell)", makefile: "X := $(shell echo out; echo err >&2; exit 3)\nall: ; echo $X $(.SHELLSTATUS) $(shell cat Makefile | wc -l)\n"},
	{name: "!=", makefile: "X != echo a; echo b\nall: ; echo $X\n"},
	{name: "an include that is remade", makefile: "include made.mk\nall: ; echo $X $(MAKE_RESTARTS)\nmade.mk: ; echo X = 1 >$@\n"},
	{name: "an archive", args: "-j2", makefile: "all: l.a(x.o) l.a(y.o)\n.NOTPARALLEL:\n%.o: ; echo 'int $*;' >$*.c && gcc -c $*.c\nARFLAGS = rvD\n"},
	{name: "standard input", makefile: "all: ; read x; echo \"got $$x\"\n", stdin: "a line\n"},
	{name: "standard input of one only", args: "-j2", makefile: "all: a b\na b: ; cat >got-$@; sleep 0.3\nafter: ; cat got-a got-b\n", stdin: "a line\n"},
	{name: "a makefile from standard input", args: "-f - all", stdin: "all: ; echo from stdin\n"},
}

const asMakefile = `all: a b c nested
a: ; echo one; echo two >$@
b: ; @echo fails >&2; exit 7
c: a ; @echo three
	cp a c
nested: ; $(MAKE) -f sub.mk
nested2: ; $(MAKE) -j2 -f sub.mk
dies: ; kill -9 $$$$
`

func TestMpmakeIsMakeInAllThatIsSeen(t *testing.T) {
	node1, _, _ := three(t)
	for _, maker := range []string{"make", "make-4.4.1"} {
		path := maker
		if maker != "make" {
			path = tools.Path(t, maker)
		}
		for _, c := range asMake {
			if c.modern && maker == "make" {
				continue
			}
			t.Run(maker+" "+c.name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "work")
				build := func(argv ...string) (result, map[string]string) {
					if err := os.RemoveAll(dir); err != nil {
						t.Fatal(err)
					}
					if err := os.Mkdir(dir, 0o755); err != nil {
						t.Fatal(err)
					}
					text := c.makefile
					if text == "" {
						text = asMakefile
					}
					write(t, filepath.Join(dir, "Makefile"), text)
					write(t, filepath.Join(dir, "sub.mk"), "all: p q\np q: ; echo $@ >$@\n")
					if c.built {
						before := node1.Command(path, "-s", "a", "c")
						before.Dir = dir
						if out, err := before.CombinedOutput(); err != nil {
							t.Fatalf("%v: %s", err, out)
						}
					}
					return asBuilt(t, node1, dir, c.env, c.stdin, append(argv, strings.Fields(c.args)...)...), files(t, dir)
				}
				want, made := build(path)
				got, mine := build("env", "MEXEC_MAKE="+path, "NODES=2,3", "mpmake")
				if got != want {
					t.Errorf("make: %+v\nmpmake: %+v", want, got)
				}
				for name := range made {
					if mine[name] != made[name] {
						t.Errorf("%s: %q, not %q", name, mine[name], made[name])
					}
				}
				if len(mine) != len(made) {
					t.Errorf("made %v, not %v", mine, made)
				}
			})
		}
	}
}

// asBuilt runs a make. With several jobs the order of lines is anybody's, and the last one of mpmake is its own.
func asBuilt(t *testing.T, h *hosts.Host, dir, env, stdin string, argv ...string) result {
	t.Helper()
	if !slices.ContainsFunc(argv, func(a string) bool { return strings.HasPrefix(a, "-j") }) && !strings.Contains(env, "j") {
		argv = append(argv, "-j1") // mpmake would say how many
	}
	cmd := h.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "MEXEC_QUIET=1")
	if env != "" {
		cmd.Env = append(cmd.Env, env)
	}
	cmd.Stdin = strings.NewReader(stdin)
	r := run(t, cmd)
	for _, text := range []*string{&r.out, &r.errs} {
		var lines []string
		for line := range strings.Lines(*text) {
			if !strings.HasPrefix(line, "mpmake: ") {
				lines = append(lines, line)
			}
		}
		if slices.Contains(argv, "-j1") {
			*text = strings.Join(lines, "")
			continue
		}
		slices.Sort(lines)
		*text = strings.Join(lines, "")
	}
	return r
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			b, e := os.ReadFile(path)
			err = e
			found[path] = string(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestHelpIsMakesAndOurs(t *testing.T) {
	node1, _, _ := three(t)
	makes := run(t, sh(node1, "make --help"))
	for _, word := range []string{"--help", "-h"} {
		r := run(t, sh(node1, "mpmake "+word))
		ours, ok := strings.CutPrefix(r.out, makes.out)
		if r.code != 0 || r.errs != "" || !ok || !strings.Contains(ours, "--report=FILE") {
			t.Errorf("%s: %+v", word, r)
		}
	}
	if r := run(t, sh(node1, "mpmake --help --no-such-option")); r.code != 2 || strings.Contains(r.out, "--report") {
		t.Errorf("%+v", r)
	}
}
