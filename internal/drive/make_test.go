package drive

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestJobsAreFoundAsMakeFindsThem(t *testing.T) {
	for _, c := range []struct {
		args []string
		rest string
		n    int
	}{
		{nil, "", unsaid},
		{[]string{"all"}, "all", unsaid},
		{[]string{"-j8"}, "", 8},
		{[]string{"-j", "8"}, "", 8},
		{[]string{"-j", "8", "all"}, "all", 8},
		{[]string{"-j", "all"}, "all", unlimited},
		{[]string{"-j", "8x"}, "8x", unlimited}, // a target
		{[]string{"-j"}, "", unlimited},
		{[]string{"-kj"}, "-k", unlimited},
		{[]string{"-kj4", "-s"}, "-k -s", 4},
		{[]string{"-kj", "4", "-s"}, "-k -s", 4},
		{[]string{"-j2", "x", "-j3"}, "x", 3},
		{[]string{"-j2", "-j"}, "", unlimited},
		{[]string{"--jobs"}, "", unlimited},
		{[]string{"--jobs=3"}, "", 3},
		{[]string{"--jobs", "3"}, "", 3},
		{[]string{"-j0"}, "", malformed},
		{[]string{"-j8k"}, "", malformed},
		{[]string{"-jx", "-j2"}, "", malformed},
		{[]string{"--jobs="}, "", malformed},
		{[]string{"--jo=3"}, "--jo=3", unsaid}, // ambiguous to make
		{[]string{"--just-print"}, "--just-print", unsaid},
		{[]string{"-C", "-j"}, "-C -j", unsaid}, // a directory of that name
		{[]string{"-Cj"}, "-Cj", unsaid},
		{[]string{"-f", "j.mk", "-kf", "-j"}, "-f j.mk -kf -j", unsaid},
		{[]string{"--directory", "-j8"}, "--directory -j8", unsaid},
		{[]string{"--direc", "-j8", "-j9"}, "--direc -j8", 9},
		{[]string{"--directory=x", "-j8"}, "--directory=x", 8},
		{[]string{"-l2.5"}, "-l2.5", unsaid},
		{[]string{"-l", "2", "-j3"}, "-l 2", 3},
		{[]string{"-Oline"}, "-Oline", unsaid},
		{[]string{"-O", "-j2"}, "-O", 2},
		{[]string{"-j2", "--", "-j"}, "-- -j", 2},
		{[]string{"X=-j"}, "X=-j", unsaid},
	} {
		rest, n := takeJobs(c.args)
		if got := strings.Join(rest, " "); n != c.n || got != c.rest {
			t.Errorf("make %q: %q, %d", c.args, got, n)
		}
	}
	for flags, n := range map[string]int{
		"": unsaid, "k": unsaid, "kj4": 4, "-k -j4": 4, "-j": unlimited, "k -- X=-j": unsaid, "X=j": unsaid, "X=j -j3": 3,
	} {
		if got := flagsJobs(flags); got != n {
			t.Errorf("MAKEFLAGS=%q: %d", flags, got)
		}
	}
}

func TestMakeIsAClientOfOurs(t *testing.T) {
	fifo, pipe := filepath.Join(t.TempDir(), "make"), filepath.Join(t.TempDir(), "make")
	os.WriteFile(fifo, []byte("\x7fELF and fifo: and more"), 0o755)
	os.WriteFile(pipe, []byte("\x7fELF and more"), 0o755)
	for _, c := range []struct{ path, args, env, want, wantEnv string }{
		{pipe, "", "", "", "MAKEFLAGS= -j24 --jobserver-auth=pipe of 0"},
		{fifo, "all", "", "all", "MAKEFLAGS= -j24 --jobserver-auth=fifo of 0"},
		{fifo, "-j8 all", "", "all", "MAKEFLAGS= -j8 --jobserver-auth=fifo of 8"},
		{fifo, "-j", "", "", "MAKEFLAGS= -j --jobserver-auth=fifo of 0"},
		{fifo, "-k -j1", "", "-k -j1", ""},
		{fifo, "-jx", "", "-jx", ""},
		{fifo, "all", "MAKEFLAGS=kj4", "all", "MAKEFLAGS=kj4 -j4 --jobserver-auth=fifo of 4"},
		{fifo, "-j5", "MAKEFLAGS=kj4", "", "MAKEFLAGS=kj4 -j5 --jobserver-auth=fifo of 5"},
		{fifo, "", "GNUMAKEFLAGS=-j4", "", "GNUMAKEFLAGS=-j4|MAKEFLAGS= -j4 --jobserver-auth=fifo of 4"},
		{fifo, "", "MAKEFLAGS=k -- X=Y", "", "MAKEFLAGS=k -j24 --jobserver-auth=fifo of 0 -- X=Y"},
		{fifo, "-j5", "MAKEFLAGS= -j2 --jobserver-auth=3,4", "-j5", "MAKEFLAGS= -j2 --jobserver-auth=3,4"},
	} {
		cmd := exec.Command(c.path, strings.Fields(c.args)...)
		cmd.Env = []string{}
		if c.env != "" {
			cmd.Env = []string{c.env}
		}
		makeJobs(cmd, fake)
		if got := strings.Join(cmd.Args[1:], " "); got != c.want || strings.Join(cmd.Env, "|") != c.wantEnv {
			t.Errorf("make %s with %s: make %s with %q", c.args, c.env, got, cmd.Env)
		}
		// Below another of ours there is no jobserver to be had, and none may be made.
		below := exec.Command(c.path, strings.Fields(c.args)...)
		below.Env = []string{}
		makeJobs(below, jobs{slots: fake.slots})
		want := strings.Fields(c.args)
		if optionJobs(want) == false {
			want = append([]string{"-j24"}, want...)
		}
		if !slices.Equal(below.Args[1:], want) || len(below.Env) != 0 {
			t.Errorf("nested make %s: %q with %q", c.args, below.Args, below.Env)
		}
	}
}

// With mpmake as the make of PATH it called itself, without an end.
func TestAMakeThatIsMpmakeIsAnError(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(own, filepath.Join(dir, "make")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	var said strings.Builder
	if status := Make(nil, []string{"PATH=" + dir}, &said, &said); status != 2 || said.String() != "mpmake: "+dir+"/make is mpmake itself (name a make in MEXEC_MAKE)\n" {
		t.Errorf("status %d: %s", status, said.String())
	}
}
