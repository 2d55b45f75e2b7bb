package policy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheProjectIsStrongerThanTheMachineAndBothThanUs(t *testing.T) {
	dir := t.TempDir()
	machine := filepath.Join(dir, "policy.toml")
	write(t, machine, `local = ["gcc", "git*"]`+"\n"+`drive = ["bake"]`)
	project := filepath.Join(dir, "a", Project)
	write(t, project, `travel = ["git-gc", "cat"]`+"\n"+`local = ["bake"]`)
	deep := filepath.Join(dir, "a", "b", "c")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := Load(deep, machine)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Rule{
		"cat": {Travels, "cat", project}, "git-gc": {Travels, "git-gc", project}, "bake": {Stays, "bake", project},
		"git": {Stays, "git*", machine}, "gitk": {Stays, "git*", machine}, "gcc": {Stays, "gcc", machine},
		"ninja": {Drives, "ninja", "built in"}, "rm": {Stays, "rm", "built in"},
	} {
		if got, ok := p.Decide(name); !ok || got != want {
			t.Errorf("%s: %v %v", name, got, ok)
		}
	}
	if r, ok := p.Decide("cc1"); ok || r.Verdict != Travels {
		t.Errorf("what nobody speaks of: %v", r)
	}
}

func TestWhatMayRunTwiceSaysNothingOfWhereItRuns(t *testing.T) {
	dir := t.TempDir()
	machine := filepath.Join(dir, "policy.toml")
	write(t, machine, `repeat = ["rm", "moc*"]`)
	write(t, filepath.Join(dir, Project), `repeat = ["protoc"]`+"\n"+`local = ["moc-old"]`)
	p, err := Load(dir, machine)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := p.Decide("rm"); r != (Rule{Stays, "rm", "built in"}) {
		t.Errorf("rm: %v", r)
	}
	if r, ok := p.Decide("protoc"); ok {
		t.Errorf("protoc: %v", r)
	}
	if text, err := p.Encode(1); err != nil || strings.Contains(text, "protoc") || strings.Contains(text, "moc*") {
		t.Errorf("%q, %v", text, err)
	}
	text, err := p.Repeat()
	if err != nil || text != "protoc rm moc*" {
		t.Errorf("%q, %v", text, err)
	}
	for name, want := range map[string]bool{"protoc": true, "moc": true, "moc-old": true, "rm": true, "protoc-c": false, "": false} {
		if InList(text, name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	if InList("", "") {
		t.Error("an empty list has a name in it")
	}
}

func TestARuleMayBeForCallsWithAnArgument(t *testing.T) {
	for call, want := range map[string]Verdict{
		"cmake --build .": Drives, "cmake -E copy a b": Travels, "cmake": Travels, "xargs -P4 gzip": Drives, "xargs -n1 gzip": Travels,
		"meson compile -C b": Drives, "meson --internal exe x": Travels, "dh_auto_build": Drives, "prove t": Drives,
	} {
		words := strings.Fields(call)
		if got, _ := Own().Decide(words[0], words[1:]...); got.Verdict != want {
			t.Errorf("%s: %c", call, got.Verdict)
		}
	}
}

func TestATravellingToolIsOneThatAFileOrWeCallWhole(t *testing.T) {
	p := append(Policy{{Drives, "Configure", "a file"}, {Travels, "waf", "a file"}, {Whole, "boot*", "a file"}}, Own()...)
	for name, want := range map[string]bool{"./configure": true, "/x/boot.sh": true, "Configure": false, "waf": false, "cc": false, "make": false} {
		if _, got := p.Whole(Spawn{Path: name}); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := p.Judge(Spawn{Path: "./configure"}); got != Travels {
		t.Errorf("as a child: %c", got)
	}
}

// All recipes travel below mpmake, but nested drivers do not, and a file is obeyed.
func TestBelowMpmakeOnlyDriversStayAndWhatAFileSays(t *testing.T) {
	p := append(Policy{{Stays, "doxygen", "a file"}}, Own()...).ForMake()
	for name, want := range map[string]Verdict{"doxygen": Stays, "cp": Travels, "ninja": Drives, "cc": Travels} {
		if got, _ := p.Decide(name); got.Verdict != want {
			t.Errorf("%s: %c", name, got.Verdict)
		}
	}
}

func TestNoFileIsNoError(t *testing.T) {
	p, err := Load(t.TempDir(), "/nonexistent/policy.toml")
	if err != nil || len(p) != len(Own()) {
		t.Errorf("%d rules, %v", len(p), err)
	}
}

func TestABadFileIsOneLineThatSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		"local = [":         ":1: ",
		"locals = ['x']":    "locals: no such setting; there are local, drive, travel, whole and repeat",
		"local = ['a b c']": "\"a b c\": a pattern is a program's name without its directory, and maybe a blank and one argument; * stands for any text",
		"local = ['a ']":    "\"a \": a pattern is",
		"local = [' a']":    "\" a\": a pattern is",
		"local = ['bin/x']": "\"bin/x\": a pattern is",
		"local = ['']":      "\"\": a pattern is",
		"\nlocal = 'x'":     ":2: local: must be a list of strings",
		"drive = ['x', 1]":  ":1: drive: must be a list of strings",
		"repeat = ['a b']":  "repeat: \"a b\": a pattern is here a program's name alone",
	} {
		dir := t.TempDir()
		name := filepath.Join(dir, Project)
		write(t, name, text)
		_, err := Load(dir, "/nonexistent")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAFileThatCannotBeReadIsNamedOnce(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, Project)
	if err := os.Mkdir(name, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, "/nonexistent"); err == nil || err.Error() != "policy "+name+": is a directory" {
		t.Error(err)
	}
}

func TestWhatIsTooLongForTheShimIsAnError(t *testing.T) {
	p := Policy{{Stays, strings.Repeat("x", longest-3), ""}}
	if s, err := p.Encode(1); err != nil || len(s) != longest {
		t.Errorf("%d, %v", len(s), err)
	}
	if _, err := p.Encode(10); err == nil {
		t.Error("one byte more fits too")
	}
}

// The shim decides in C what --explain says in Go.
func TestTheShimDecidesTheSame(t *testing.T) {
	dir := t.TempDir()
	ask := filepath.Join(dir, "ask.c")
	write(t, ask, `#include "policy.h"
#include <stdio.h>
#include <string.h>
int main(void)
{
	static char policy[LONGEST_POLICY], name[256], line[256];
	while (fgets(policy, sizeof(policy), stdin) != NULL && fgets(name, sizeof(name), stdin) != NULL && fgets(line, sizeof(line), stdin) != NULL) {
		policy[strcspn(policy, "\n")] = 0;
		char sign = find_rule(policy, name, strcspn(name, "\n"), (struct arguments){.line = line});
		putchar(sign == 0 ? '0' : sign);
	}
}
`)
	if out, err := exec.Command("gcc", "-I../../libmexec", "-o", dir+"/ask", ask, "../../libmexec/policy.c").CombinedOutput(); err != nil {
		t.Skipf("no compiler for the shim's half: %v: %s", err, out)
	}
	random := rand.New(rand.NewPCG(1, 2))
	word := func(letters string, most int) string {
		b := make([]byte, random.IntN(most))
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
	var questions bytes.Buffer
	var want []byte
	for range 20000 {
		var p Policy
		for range random.IntN(4) {
			pattern := "*"[:random.IntN(2)] + word("ab*", 6) + "a"
			if random.IntN(3) == 0 {
				pattern += " " + word("ab*", 4) + "b"
			}
			p = append(p, Rule{[]Verdict{Travels, Stays, Drives}[random.IntN(3)], pattern, []string{"", BuiltIn}[random.IntN(2)]})
		}
		name, line := word("ab", 9), word("ab \t'\";&|b", 20)
		text, err := p.Encode(random.IntN(99999))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&questions, "%s\n%s\n%s\n", text, name, line)
		sign := byte('0')
		if r, ok := p.Decide(name, arguments(line)...); ok {
			sign = byte(r.Verdict)
			if r.Verdict == Stays && r.From == BuiltIn {
				sign = '.'
			}
		}
		want = append(want, sign)
	}
	cmd := exec.Command(dir + "/ask")
	lines := strings.Split(questions.String(), "\n")
	cmd.Stdin = &questions
	got, err := cmd.Output()
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d answers, not %d: %v", len(got), len(want), err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%q, %q: %c in C, %c in Go", lines[3*i], lines[3*i+1]+" "+lines[3*i+2], got[i], want[i])
		}
	}
}
