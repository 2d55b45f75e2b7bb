package policy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The tracer decides in Go on what a static tool spawns, as the shim in C on what any other does.
func TestATracedToolIsJudgedAsOneWithTheShim(t *testing.T) {
	dir := t.TempDir()
	ask := filepath.Join(dir, "ask.c")
	write(t, ask, `#include "route.c"
#include <stdio.h>

static char *text(void)
{
	static char room[7][256];
	static int next;
	char *s = room[next++ % 7];
	int n = 0, c;
	while ((c = getchar()) > 0)
		s[n++] = c;
	s[n] = 0;
	return c == EOF ? NULL : s;
}

int main(void)
{
	char *rules;
	strcpy(stub, "/mexec");
	while ((rules = text()) != NULL) {
		strcpy(policy, rules);
		strcpy(own_name, text());
		char *path = text(), *argv[5] = {NULL}, *envp[] = {NULL};
		for (int i = 0; i < 4; i++) {
			char *arg = text();
			argv[i] = strcmp(arg, "(none)") == 0 ? NULL : arg;
		}
		struct way way;
		putchar(may_travel(path, argv, envp, false, &way) ? 'y' : 'n');
	}
}
`)
	out, err := exec.Command("gcc", "-D_GNU_SOURCE", "-I../../libmexec", "-o", dir+"/ask", ask,
		"../../libmexec/policy.c", "../../libmexec/journal.c", "../../libmexec/kind.c", "../../libmexec/handed.c", "../../libmexec/leave.c", "../../libmexec/sure.c", "../../libmexec/search.c").CombinedOutput()
	if err != nil {
		if _, missing := exec.LookPath("gcc"); missing != nil {
			t.Skipf("no compiler for the shim's half: %v", missing)
		}
		t.Fatalf("%v: %s", err, out)
	}
	random := rand.New(rand.NewPCG(3, 4))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	program := func() string {
		return pick("", "", "/bin/", "bin/", "a/b/") +
			pick("sh", "dash", "sh", "make", "gmake", "make-4.4", "xmake", "x_make", "_make", "cc", "ninja", "cat", "mexec", "mexecvp", "mprun", "mpmake", "a", "make.x", "")
	}
	line := func() string {
		s := ""
		for range random.IntN(5) {
			s += pick(program(), " ", ";", "&", "|", "(", ")", "\n", "'", "=", "$", "<", "\t", "-C x", "cd x && ", ">out")
		}
		return s
	}
	type question struct {
		p      Policy
		driver string
		s      Spawn
	}
	var all []question
	var asked bytes.Buffer
	for range 20000 {
		q := question{driver: pick("", "", "make", "remake_make")}
		for range random.IntN(4) {
			q.p = append(q.p, Rule{[]Verdict{Travels, Stays, Drives}[random.IntN(3)], pick("ninja", "cat", "c*", "*sh", "make", "a", "ninja x", "cat -C", "* c*", "sh -c"), ""})
		}
		q.s = Spawn{program(), []string{program(), pick("-c", "-c", "-ec", line()), line(), line()}[:1+random.IntN(4)]}
		if q.s.Path == "" {
			q.s.Path = "x"
		}
		text, err := q.p.Encode(1)
		if err != nil {
			t.Fatal(err)
		}
		fields := append([]string{text, q.driver, q.s.Path}, q.s.Args...)
		for len(fields) < 7 {
			fields = append(fields, "(none)")
		}
		for _, f := range fields {
			fmt.Fprintf(&asked, "%s\x00", f)
		}
		all = append(all, q)
	}
	cmd := exec.Command(dir + "/ask")
	cmd.Stdin = &asked
	got, err := cmd.Output()
	if err != nil || len(got) != len(all) {
		t.Fatalf("%d answers, not %d: %v", len(got), len(all), err)
	}
	travel := 0
	for i, q := range all {
		goes := q.p.Judge(q.s) == Travels && !q.p.Leads(q.driver, q.s, true)
		if goes != (got[i] == 'y') {
			t.Fatalf("%v, %q: %q: %v in Go, %c in C", q.p, q.driver, q.s, goes, got[i])
		}
		if goes {
			travel++
		}
	}
	if travel < 1000 || travel > len(all)-1000 {
		t.Errorf("%d of %d travel: the questions are too easy", travel, len(all))
	}
}

func TestWhatDrivesIsToldFromWhatStays(t *testing.T) {
	p := Own()
	for line, want := range map[string]Verdict{"ninja -C out": Drives, "cmake --build out": Drives, "cmake -E touch a": Travels, "cp a b": Stays, "cp a b; cp c d": Travels, "cc -c a.c": Travels} {
		if got := p.Judge(Spawn{"/bin/sh", []string{"sh", "-c", line}}); got != want {
			t.Errorf("%s: %c", line, got)
		}
	}
	for call, want := range map[string]bool{"/usr/bin/make": true, "cmake --build": true, "cmake -P x": false, "bin/ninja": true, "mprun": false, "mexec": false, "cc": false, "cp": false} {
		args := strings.Fields(call)
		if got := p.IsDriver(Spawn{args[0], args}); got != want {
			t.Errorf("%s: %v", call, got)
		}
	}
}
