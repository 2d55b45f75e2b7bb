package repeat

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestModesAreReadAsTheyAreWritten(t *testing.T) {
	for _, m := range []Mode{Never, Safe, Always} {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%v: %v, %v", m, got, err)
		}
	}
	for _, text := range []string{"", "Safe", "yes", "safe "} {
		if _, err := ParseMode(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestNothingRunsAgainThatHasTakenOrIsNoLongerItsCallersAlone(t *testing.T) {
	cc := Command{Path: "/usr/bin/cc", Argv: []string{"cc", "-c", "a.c", "-o", "a.o"}}
	sh := Command{Path: "/bin/sh", Argv: []string{"sh", "-c", "echo x >>log"}}
	for _, c := range []struct {
		name                string
		run                 Run
		command             Command
		never, safe, always bool
	}{
		{"a compiler", Run{Count: 1}, cc, false, true, true},
		{"a compiler again", Run{Count: 2}, cc, false, true, true},
		{"a compiler a third time", Run{Count: 3}, cc, false, false, false},
		{"anything", Run{Count: 1}, sh, false, false, true},
		{"terminal", Run{Count: 1, Terminal: true}, cc, false, false, false},
		{"input", Run{Count: 1, Input: true}, cc, false, false, false},
		{"closed", Run{Count: 1, Closed: true}, cc, false, false, false},
		{"signals", Run{Count: 1, Signals: true}, cc, false, false, false},
		{"stopped", Run{Count: 1, Stopped: true}, cc, false, false, false},
		{"output", Run{Count: 1, Output: true}, cc, false, false, true},
	} {
		for mode, want := range []bool{c.never, c.safe, c.always} {
			if why, got := Mode(mode).Again(c.run, c.command); got != want || (why == "") != (Mode(mode) == Never) {
				t.Errorf("%s, %v: %v (%s)", c.name, Mode(mode), got, why)
			}
		}
	}
}

func TestCommandsThatCanRunTwiceAsIfOnce(t *testing.T) {
	line := func(s string) []string { return []string{"sh", "-c", s} }
	for _, argv := range [][]string{
		{"cc", "-c", "-o", "a.o", "a.c"},
		{"gcc-12", "-O2", "-c", "a.c", "-oa.o"},
		{"x86_64-linux-gnu-g++", "-MD", "-MF", "a.d", "-MT", "-c", "-c", "-o", "a.o", "a.cc"},
		{"clang++-19", "-Xclang", "-include-pch", "-Xclang", "x.pch", "-S", "-o", "a.s", "a.cc"},
		{"as", "-o", "a.o", "a.s"},
		{"cpp", "-P", "a.in", "-o", "a.out"},
		{"ccache", "gcc", "-c", "-o", "a.o", "a.c"},
		{"bash", "../libtool", "--silent", "--tag=CC", "--mode=compile", "ccache", "gcc", "-c", "-o", "a.lo", "a.c"},
		{"./x86-linux-libtool", "--mode=compile", "gcc", "-c", "-o", "a.lo", "a.c"},
		line("cc -c -o a.o a.c"),
		{"bash", "-e", "-c", "cc -c -o a.o a.c"},
		{"dash", "-ec", "cc -c -o a.o a.c"},
		line(`gcc -DNAME=\"x\" -D'V="$1"' -DX="a b" -c -o a.o a.c`),
		line("gcc -c -o a.o \\\n\ta.c"),
		line("echo '  CC  a.o'; gcc -c -o a.o a.c"),
		line("cd /build/sub && /usr/bin/cc -DX -o CMakeFiles/x.o -c y.c"),
		line("mkdir -p obj/x && cc -c -o obj/x/a.o a.c"),
		line("gcc -MT a.o -MD -MP -MF .deps/a.Tpo -c -o a.o a.c && mv -f .deps/a.Tpo .deps/a.Po"),
		line("cc -c -o a.o a.c 2>a.log >&2;"),
		line("cc -c -o a.o a.c </dev/null >/dev/null 2>&1"),
		line(": && cc -c -o a.o a.c && :"),
		line("true"), line("test -f a.c"), line("cat a b >c"), {"grep", "x", "y"},
		{"protoc", "--cpp_out=.", "a.proto"}, {"/opt/moc-qt6", "a.h"}, line("protoc a.proto >a.log"),
	} {
		if why, ok := named(argv...).Repeatable(); !ok || why == "" {
			t.Errorf("%q: no", argv)
		}
	}
}

func named(argv ...string) Command {
	return Command{Path: argv[0], Argv: argv, Named: func(name string) bool { return name == "protoc" || strings.HasPrefix(name, "moc") }}
}

var more = []string{
	"cc -c -o a.o a.c | tee log", "cc -c -o a.o a.c >>log", "cc -c -o a.o a.c 2>>log", "cc -c -o a.o a.c || true", "cc -c -o a.o a.c &",
	"cc -c -o a.o a.c & wait", "cc -c -o a.o a.c && ./run", "cc -c -o a.o a.c; ./run", "cc -c -o a.o a.c\n./run", "cc -c -o a.o `ls`", "cc -c -o a.o $X",
	`cc -c -o a.o "$X"`, "cc -c -o a.o a.c 3>x", "cc -c -o a.o a.c 10>x", "cc -c -o a.o a.c >|x", "cc -c -o a.o a.c <<X", "cc -c -o a.o a.c <>x", "cc -c -o a.o a.c >&3",
	"cc -c -o a.o a.c &>x", "(cc -c -o a.o a.c)", "{ cc -c -o a.o a.c; }", "if cc -c -o a.o a.c; then x; fi", "! cc -c -o a.o a.c", "X=1 cc -c -o a.o a.c",
	"X=1", "cc -c -o a.o *.c", "cc -c -o ~/a.o a.c", "cc -c -o a.o a.c # x", "cc -c -o a.o 'a.c", `cc -c -o a.o "a.c`, "cc -c -o a.o a.c \\", "", ";", "&&", "cc -c -o a.o a.c &&",
	"cc -c -o a.o a.c;;", "cc -c -o a.o a.c && cc -c -o b.o a.o", "cat a >b; cat b >a", "cc -c -o a.o a.c && mv x y", "cc -c -o a.o a.c && mv -f a.o a.c",
	"cc -c -o a.o a.c && mv -t a.o a.o", "cc -c -o a.o a.c && cd x && mv a.o b.o", "mv a.o b.o", "test -e a.o && cc -c -o a.o a.c", "cd x >y", "cc -c -o a.o a.c >/dev/tcp/x/1",
	"cc -c -o a.o a.c >/proc/self/fd/7", "cat <(ls)", "ls >&-", "ls 2>&1x", "f() { ls; }", "eval ls", ". ./x", "exec ls", "tee x", "ls\x00",
}

func TestCommandsThatMightDoMoreTheSecondTime(t *testing.T) {
	argvs := [][]string{
		{}, {"cc"}, {"cc", "a.c"}, {"cc", "-c", "a.c"}, {"cc", "-o", "prog", "a.c"}, {"cc", "-MT", "-c", "-o", "prog", "a.c"}, {"cc", "-c", "-o"},
		{"cc", "-c", "-o", "-", "a.c"}, {"cc", "-c", "-o", "/dev/stdout", "a.c"}, {"cc", "-c", "-o", "a.o", "-o", "b.o", "a.c"},
		{"cc", "-c", "-o", "a.o", "@args"}, {"cc", "-c", "-o", "a.o", "-fplugin=x.so", "a.c"}, {"cc", "-c", "-o", "a.o", "-wrapper", "gdb", "a.c"},
		{"clang", "-c", "-o", "a.o", "-Xclang", "-load", "-Xclang", "x.so", "a.c"}, {"cc", "-time=log", "-c", "-o", "a.o", "a.c"}, {"cc", "-specs=x", "-c", "-o", "a.o", "a.c"},
		{"ccache", "-c", "-o", "a.o"}, {"ccache"}, {"libtool", "--mode=link", "cc", "-c", "-o", "a.o", "a.c"}, {"libtool", "--mode=compile"}, {"sh", "libtool"},
		{"distcc", "ar", "-c", "-o", "x"}, {"ld", "-o", "a"}, {"ar", "rc", "a"}, {"mycc", "-c", "-o", "a.o", "a.c"}, {"python3", "-c", "x", "-o", "y"},
		{"sh"}, {"sh", "-c"}, {"sh", "x", "-c", "true"}, {"sh", "-c", "true", "name"}, {"sh", "-x", "-c", "true"}, {"sh", "script"}, {"env", "cc", "-c", "-o", "a.o", "a.c"},
		{"mv", "a", "b"}, {"rm", "-f", "a"}, {"tee", "x"}, {"sort", "-o", "a", "a"}, {"./configure"},
	}
	for _, line := range more {
		argvs = append(argvs, []string{"sh", "-c", line})
	}
	for _, argv := range argvs {
		c := Command{Argv: argv}
		if len(argv) > 0 {
			c = named(argv...)
		}
		if why, ok := c.Repeatable(); ok {
			t.Errorf("%q: %s", argv, why)
		}
	}
}

func TestWhatTheEnvironmentOrItsNameMakesOfACommandCounts(t *testing.T) {
	cc := []string{"cc", "-c", "-o", "a.o", "a.c"}
	for _, c := range []Command{
		{Path: "/bin/sh", Argv: []string{"sh", "-c", "true"}, Env: []string{"BASH_ENV=x"}},
		{Path: "/bin/sh", Argv: []string{"sh", "-c", "true"}, Env: []string{"A=1", "BASH_FUNC_true%%=() { rm x; }"}},
		{Path: "/usr/bin/cc", Argv: cc, Env: []string{"DEPENDENCIES_OUTPUT=deps"}},
		{Path: "/bin/sh", Argv: []string{"sh", "-c", strings.Join(cc, " ")}, Env: []string{"SUNPRO_DEPENDENCIES=deps x"}},
		{Path: "/usr/bin/clang", Argv: append([]string{"clang-cl"}, cc[1:]...)},
		{Path: "/opt/run", Argv: cc},
	} {
		if why, ok := c.Repeatable(); ok {
			t.Errorf("%+v: %s", c, why)
		}
	}
	c := Command{Path: "/usr/bin/cc", Argv: cc, Env: []string{"BASH_ENV=x", "BASH_FUNC_cc%%=x"}} // no shell is asked
	if _, ok := c.Repeatable(); !ok {
		t.Errorf("%+v", c)
	}
}

// The shell is the reference for what the words of a line are.
func TestWordsAreThoseOfTheShell(t *testing.T) {
	for _, line := range []string{
		`a b	c`, `'a b'c"d e"\ f`, `"a\"b\\c\d\$e"`, `\a\\b\"c`, "a\\\nb", "\"a\\\nb\"", `'' ""`, "-D'X=\"a\"'", `a=b a==b`, `a#b`, `%a ^b ,c :d @e -f +g`, "a\\\n", `'a\b'`,
	} {
		out, err := exec.Command("sh", "-c", `for w in `+line+`; do printf '%s\n' "$w"; done`).Output()
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list, ok := parse("echo " + line)
		if want := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"); !ok || !slices.Equal(list[0].words[1:], want) {
			t.Errorf("%q: %+v, %v; the shell has %q", line, list, ok, want)
		}
	}
}

// bare is a line with a Q in the place of what is quoted, by other means than the scanner's.
func bare(line string) string {
	var b strings.Builder
	in := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case in == '\'' && c == '\'', in == '"' && c == '"':
			in = 0
		case in == '\'':
		case c == '\\':
			if i++; in == 0 && i < len(line) && line[i] != '\n' {
				b.WriteByte('Q')
			}
		case in == '"':
		case c == '\'' || c == '"':
			in = c
			b.WriteByte('Q')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func FuzzNoLineIsTakenThatHoldsMoreThanItShows(f *testing.F) {
	for _, line := range more {
		f.Add(line)
	}
	f.Add("cd x && gcc -MF a.T -c -o a.o a.c && mv a.T a.d; echo 'a;b' 2>&1 >x")
	f.Fuzz(func(t *testing.T, line string) {
		list, ok := parse(line)
		if !ok {
			return
		}
		text := bare(line)
		for _, no := range []string{">>", "<<", "<>", ">|", "||", "|", "`", "$", "(", ")", "{", "}", "*", "?", "[", "~", "!", "\n", "&>", ";;", "&&&"} {
			if strings.Contains(text, no) {
				t.Errorf("%q was taken with %s in it", line, no)
			}
		}
		joined := strings.NewReplacer(">&1", "", ">&2", "", "&&", ";").Replace(text)
		if strings.Contains(joined, "&") {
			t.Errorf("%q was taken with & in it", line)
		}
		if n := strings.Count(strings.TrimRight(joined, "; \t"), ";") + 1; n != len(list) {
			t.Errorf("%q: %d commands, found %d", line, n, len(list))
		}
		for _, s := range list {
			if len(s.words) == 0 {
				t.Errorf("%q: a command without words", line)
			}
		}
		why, yes := Command{Path: "sh", Argv: []string{"sh", "-c", line}}.Repeatable()
		writers := 0
		for _, s := range list {
			if _, compiles := makesOne(s.words); s.writes || compiles {
				writers++
			}
		}
		if yes && writers > 1 {
			t.Errorf("%q: %s, with %d that write", line, why, writers)
		}
	})
}
