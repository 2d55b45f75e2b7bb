package cluster

import (
	"bytes"
	"encoding/hex"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

func TestFactsTravelUnchangedAndTheirBytesNeverChange(t *testing.T) {
	if factsLimit != memberlist.MetaMaxSize {
		t.Errorf("memberlist's limit is %d", memberlist.MetaMaxSize)
	}
	want := Facts{Number: 300, Name: "node7", Link: "10.1.2.7:7946", Slots: 16, Version: "0.1.0", Arch: "x86_64", Boot: "5d1c7c3e-0b0e-4b57-9d7a-0c6d5b8b6f11"}
	for _, file := range []string{"facts.golden", "facts-cpus.golden"} {
		b, err := encodeFacts(want)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, file, b)
		if got, err := decodeFacts(b); err != nil || got != want {
			t.Errorf("got %+v, %v", got, err)
		}
		want.Labels, want.Draining, want.Why = "gpu,ssd", true, "a new disk"
		want.Memory, want.CPUs = 6<<30, 1.25
	}
	for file, memory := range map[string]int64{"facts-labels.golden": 0, "facts-memory.golden": want.Memory} { // as versions before have written them
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		older, err := hex.DecodeString(string(bytes.Join(bytes.Fields(text), nil)))
		if err != nil {
			t.Fatal(err)
		}
		was := want
		was.Memory, was.CPUs = memory, 0
		if got, err := decodeFacts(older); err != nil || got != was {
			t.Errorf("%s: got %+v, %v", file, got, err)
		}
	}
	b, _ := encodeFacts(want)
	if got, err := decodeFacts(append(slices.Clone(b), "a field of a later version"...)); err != nil || got != want {
		t.Errorf("with a later field: got %+v, %v", got, err)
	}
}

func TestFactsThatCouldNotBeShownAreRefused(t *testing.T) {
	for _, bad := range []Facts{
		{Number: 0, Name: "a"}, {Number: -1, Name: "a"}, {Number: 1 << 40, Name: "a"}, {Number: 1}, {Number: 1, Name: "a", Slots: -1}, {Number: 1, Name: "a", Memory: -1}, {Number: 1, Name: "a", CPUs: -1}, {Number: 1, Name: "a", CPUs: math.NaN()},
		{Number: 1, Name: "a#b"}, {Number: 1, Name: "a\x1b[2J"}, {Number: 1, Name: "a", Arch: "\xff"},
		{Number: 1, Name: "a", Labels: "\a"}, {Number: 1, Name: "a", Why: "a\nb"},
		{Number: 1, Name: "a", Link: strings.Repeat("x", 600)},
	} {
		if b, err := encodeFacts(bad); err == nil {
			t.Errorf("%+v: encoded as %x", bad, b)
		}
	}
	good, _ := encodeFacts(Facts{Number: 1, Name: "a"})
	for _, bad := range [][]byte{nil, {2}, good[:len(good)-1], good[:2], append([]byte{9}, good[1:]...),
		{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, {1, 1, 1, 200, 'a'}, make([]byte, 513)} {
		if f, err := decodeFacts(bad); err == nil {
			t.Errorf("%x: decoded as %+v", bad, f)
		}
	}
}

func FuzzFacts(f *testing.F) {
	b, _ := encodeFacts(Facts{Number: 300, Name: "node7", Link: "10.1.2.7:7946", Slots: 16, Version: "0.1.0", Arch: "x86_64", Boot: "b", Labels: "gpu"})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := decodeFacts(b)
		if err != nil {
			return
		}
		again, err := encodeFacts(facts)
		if err != nil {
			t.Fatalf("%+v was decoded and can't be encoded: %v", facts, err)
		}
		if f, err := decodeFacts(again); err != nil || f != facts {
			t.Fatalf("%+v became %+v, %v", facts, f, err)
		}
	})
}

func TestAMemberNameHoldsTheNodesNameAndTheLife(t *testing.T) {
	for _, l := range []life{0, 1, 1 << 62, -5} {
		if n, got, err := parseMemberName(memberName("node-7.lab", l)); n != "node-7.lab" || got != l || err != nil {
			t.Errorf("%d: got %q, %d, %v", l, n, got, err)
		}
	}
	for _, bad := range []string{"", "node", "#1", "node#", "node#!", "node#1#2"} {
		if _, _, err := parseMemberName(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
