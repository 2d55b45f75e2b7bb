package jobserver

import (
	"bytes"
	"strings"
	"testing"
)

func TestTheLastOptionThatIsNoVariableNamesTheJobserver(t *testing.T) {
	for flags, want := range map[string]Auth{
		" -j4 --jobserver-auth=3,4":                                   {Read: 3, Write: 4},
		"ks -j --jobserver-fds=5,6 -j":                                {Read: 5, Write: 6},
		" --jobserver-fds=3,4 --jobserver-auth=7,8":                   {Read: 7, Write: 8},
		" --jobserver-auth=7,8 --jobserver-fds=3,4":                   {Read: 3, Write: 4},
		" -j8 --jobserver-auth=3,4 -- A=--jobserver-auth=9,9":         {Read: 3, Write: 4},
		" -j8 --jobserver-auth=3,4 -- --jobserver-auth=9,9":           {Read: 3, Write: 4},
		" -j8 --jobserver-auth=fifo:/tmp/GMfifo17":                    {Fifo: "/tmp/GMfifo17"},
		"w -j8 --jobserver-auth=fifo:/a\\ b/GM -k":                    {Fifo: "/a b/GM"},
		" --jobserver-auth=-2,-2 --jobserver-auth=fifo:/tmp/x":        {Fifo: "/tmp/x"},
		" -j8 --eval=a\\ --jobserver-auth=9,9 --jobserver-auth=10,11": {Read: 10, Write: 11},
		"\t--jobserver-auth=0,1":                                      {Read: 0, Write: 1},
	} {
		a, ok := Parse(flags)
		a.from, a.to = 0, 0
		if !ok || a != want {
			t.Errorf("%q: %+v, %v", flags, a, ok)
		}
	}
}

func TestWhereNothingOrNothingOpenIsNamedThereIsNoJobserver(t *testing.T) {
	for _, flags := range []string{
		"", "k", " -j8", " -- --jobserver-auth=3,4", " -j8 --jobserver-auth=3,4 --jobserver-auth=-2,-2", " --jobserver-auth=-1,4",
		" --jobserver-auth=3,-1", " --jobserver-auth=3", " --jobserver-auth=fifo:", " --jobserver-auth=", " --jobserver-auth=3,4x",
		" --jobserver-auth=3,4,5", " --eval=a\\ --jobserver-auth=9,9", " x--jobserver-auth=3,4", " --jobserver-auth=99999999999999999999,4",
	} {
		if a, ok := Parse(flags); ok {
			t.Errorf("%q: %+v", flags, a)
		}
	}
}

func environment(list ...string) []byte { return []byte(strings.Join(list, "\x00") + "\x00") }

func TestOnlyThePathOfTheFifoThatCountsIsRewritten(t *testing.T) {
	const long, short = "/run/mexec/mexecd.sock.tokens/17", "/f"
	for _, path := range []string{long, short} {
		env := environment("A=--jobserver-auth=fifo:/tmp/GM1", "XMAKEFLAGS= --jobserver-auth=fifo:/tmp/GM1", "MAKEFLAGS",
			"MAKEFLAGS=k -j8 --jobserver-auth=fifo:/tmp/GM0 --jobserver-auth=fifo:/tmp/GM1  -I\\ x -- V=fifo:/tmp/GM1",
			"MFLAGS=-k -j8 --jobserver-auth=fifo:/tmp/GM1", "CARGO_MAKEFLAGS=--jobserver-auth=fifo:/tmp/other",
			"MAKEFLAGS= --jobserver-auth=fifo:/tmp/GM1")
		before := bytes.Clone(env)
		a, ok := Find(env)
		if !ok || a.Fifo != "/tmp/GM1" {
			t.Fatalf("%+v", a)
		}
		got := Rewrite(env, a.Fifo, path)
		want := environment("A=--jobserver-auth=fifo:/tmp/GM1", "XMAKEFLAGS= --jobserver-auth=fifo:/tmp/GM1", "MAKEFLAGS",
			"MAKEFLAGS=k -j8 --jobserver-auth=fifo:/tmp/GM0 --jobserver-auth=fifo:"+path+"  -I\\ x -- V=fifo:/tmp/GM1",
			"MFLAGS=-k -j8 --jobserver-auth=fifo:"+path, "CARGO_MAKEFLAGS=--jobserver-auth=fifo:/tmp/other",
			"MAKEFLAGS= --jobserver-auth=fifo:/tmp/GM1")
		if !bytes.Equal(got, want) {
			t.Errorf("\n%q\n%q", got, want)
		}
		if !bytes.Equal(env, before) {
			t.Error("the caller's environment was written to")
		}
	}
}

func TestTheFirstVariableThatNamesAJobserverCounts(t *testing.T) {
	for want, env := range map[int][]byte{
		3: environment("CARGO_MAKEFLAGS=--jobserver-auth=5,6", "MAKEFLAGS= --jobserver-auth=3,4"),
		5: environment("CARGO_MAKEFLAGS=--jobserver-fds=5,6 --jobserver-auth=5,6", "MAKEFLAGS=k"),
		7: environment("MFLAGS=--jobserver-auth=7,8"),
	} {
		if a, ok := Find(env); !ok || a.Read != want {
			t.Errorf("%q: %+v", env, a)
		}
	}
	if a, ok := Find(nil); ok {
		t.Errorf("%+v", a)
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add([]byte("MAKEFLAGS= --jobserver-auth=fifo:/tmp/GM\\ 1 -- x\x00"))
	f.Add([]byte("MAKEFLAGS= --jobserver-auth=fifo:\\"))
	f.Fuzz(func(t *testing.T, env []byte) {
		a, ok := Find(env)
		if !ok || a.Fifo == "" {
			return
		}
		got := Rewrite(env, a.Fifo, "/n")
		if b, ok := Find(got); !ok || b.Fifo != "/n" {
			t.Errorf("%q: %q names %+v", env, got, b)
		}
		if bytes.Count(got, []byte{0}) != bytes.Count(env, []byte{0}) {
			t.Errorf("%q: %q", env, got)
		}
	})
}

func TestAnOptionIsAddedBeforeTheVariables(t *testing.T) {
	for flags, want := range map[string]string{
		"": " -j4", "k": "k -j4", "kB -l3": "kB -l3 -j4", " -j2 -- A=b": " -j2 -j4 -- A=b", "A=b": "A=b -j4", " -- k=v": " -j4 -- k=v",
		`I/a\ b --`: `I/a\ b -j4 --`, "k k k": "k k k -j4", "--trace": "--trace -j4",
	} {
		if got := With(flags, "-j4"); got != want {
			t.Errorf("%q: %q, not %q", flags, got, want)
		}
	}
}

func TestAJobserverIsNamedAlsoWhereItIsSwitchedOff(t *testing.T) {
	for flags, want := range map[string]bool{
		"": false, "k -j3": false, " -j --jobserver-auth=3,4": true, " --jobserver-fds=3,4 -j": true, " -j2 --jobserver-auth=3,4 --jobserver-auth=-2,-2": true,
		" -j2 --jobserver-auth=fifo:/x": true, "k -- X=--jobserver-auth=3,4": false, "k -- --jobserver-auth=3,4": false,
	} {
		if got := Named(flags); got != want {
			t.Errorf("%q: %v", flags, got)
		}
	}
}
