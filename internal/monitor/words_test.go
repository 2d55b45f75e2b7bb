package monitor

import "testing"

func TestACommandIsNamedByItsProgram(t *testing.T) {
	for command, want := range map[string]string{
		"":                              "?",
		"/usr/bin/gcc -c a.c":           "gcc",
		"/bin/sh -c gcc -c a.c":         "gcc",
		"/bin/sh -c cd sub && make all": "make",
		"/bin/bash -ec /bin/bash ./config.status": "bash",
		"sh -c set -e; A=1 exec '/opt/x y' z":     "x",
		"sh -c for i in a b; do gcc $i; done":     "sh",
		"/bin/sh -c (echo 'a'; cat b) >c":         "echo",
		`/bin/sh -c \ ./tool`:                     "tool",
		"/bin/sh -c $CC a.c":                      "sh",
		"/bin/sh ./script.sh":                     "sh",
		"sh -c":                                   "sh",
	} {
		if got := Program(command); got != want {
			t.Errorf("%q is called %q, not %q", command, got, want)
		}
	}
}

func TestATextIsCutAtItsWidth(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"}, {"e\u0301e\u0301", 2, "e\u0301e\u0301"}, {"ab", 0, ""},
	} {
		if got := cut(c.text, c.width, "…"); got != c.want || columns(got) > c.width {
			t.Errorf("%q at %d is %q", c.text, c.width, got)
		}
	}
	if got := plain("a\tb\x1b[31m\xff\u202e\n"); got != "a b?[31m?? " {
		t.Errorf("%q", got)
	}
}
