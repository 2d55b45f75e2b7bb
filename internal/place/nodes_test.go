package place

import (
	"strings"
	"testing"

	"mexec"
)

// parsed is a node as the tests write it: number:name:labels:arch, of which the last ones may be missing.
func parsed(s string) *mexec.Node {
	f := append(strings.Split(s, ":"), "", "")
	k, _ := parseNumber(f[0])
	return &mexec.Node{Number: k, Name: mexec.NodeID(f[1]), Labels: f[2], Arch: f[3]}
}

func TestNodesWish(t *testing.T) {
	for _, c := range []struct {
		wish    string
		in, out []string
	}{
		{"", []string{"1:a", "99:zz"}, nil},
		{"1-3,5,8-11", []string{"1:a", "3:a", "5:a", "11:a"}, []string{"4:a", "7:a", "12:a"}},
		{"node[8-11],n2", []string{"1:node8", "1:node11", "1:n2"}, []string{"8:x", "1:node7", "1:node08", "2:n", "1:node"}},
		{"r[01-12]-a 4", []string{"9:r01-a", "9:r12-a", "4:q"}, []string{"9:r1-a", "9:r13-a", "9:r01-b"}},
		{"h[1,3-4]", []string{"7:h1", "7:h4"}, []string{"7:h2"}},
		{"3com,1-b", []string{"1:3com", "2:1-b"}, []string{"3:a", "1:com", "1:b"}}, // what a node may be called
		{"4u[1-3]", []string{"9:4u1"}, []string{"4:a", "9:4u4"}},
		{" , 2 ,", []string{"2:x"}, []string{"1:x"}},
		{"label:gpu", []string{"1:a:gpu", "1:a:ssd,gpu", "1:a:gpu,ssd"}, []string{"1:a", "1:gpu", "1:a:gpu2", "1:a:gp", "1:a:GPU"}},
		{"label:gpu,3", []string{"1:a:gpu", "3:a"}, []string{"1:a:ssd"}},
		{"label:gpu+label:ssd", []string{"1:a:ssd,gpu"}, []string{"1:a:ssd", "1:a:gpu", "1:a"}},
		{"label:gpu+arch:arm64", []string{"1:a:gpu:aarch64"}, []string{"1:a:gpu:x86_64", "1:a::aarch64"}},
		{"1-4+label:gpu,node[8,9]+label:gpu 12", []string{"2:a:gpu", "7:node9:gpu", "12:a"}, []string{"2:a", "5:a:gpu", "7:node9"}},
		{"arch:arm64", []string{"1:a::aarch64", "1:a::arm64"}, []string{"1:a::x86_64", "1:a", "1:arm64"}},
		{"arch:amd64", []string{"1:a::x86_64"}, []string{"1:a::i686", "1:a::aarch64"}},
		{"arch:X86_64", []string{"1:a::x86_64"}, nil},
		{"arch:riscv64", []string{"1:a::riscv64"}, []string{"1:a::x86_64"}},
	} {
		n, err := ParseNodes(c.wish)
		if err != nil {
			t.Errorf("%q: %v", c.wish, err)
			continue
		}
		for _, s := range c.in {
			if !n.Match(parsed(s)) {
				t.Errorf("%q does not match %s", c.wish, s)
			}
		}
		for _, s := range c.out {
			if n.Match(parsed(s)) {
				t.Errorf("%q matches %s", c.wish, s)
			}
		}
	}
}

func TestABadWishIsOneLineThatSaysWhatWouldDo(t *testing.T) {
	const item = "is no number, range, name, name[range], label:NAME or arch:NAME"
	for bad, want := range map[string]string{
		"3-1":         `range "3-1" runs backwards`,
		"1-":          `"1-" is no number or range of numbers`,
		"-3":          `"-3" ` + item,
		"1--2":        "",
		"node[":       `"node[": want name[1-8]`,
		"node[]":      "",
		"node[a]":     `"node[a]": "a" is no number or range of numbers`,
		"node]1[":     "",
		"n[1][2]":     "",
		"99999999999": "",
		"10.0.0.1":    `"10.0.0.1" is no number or range of numbers`,
		"1;2":         "",
		"n[2-1]":      "",
		"gpu:label":   `"gpu:label" ` + item,
		"label:":      `label "": empty`,
		"label:a:b":   `label "a:b": letters, digits, '.', '_' and '-', and first a letter or digit`,
		"label:-a":    "",
		"label:a*":    "",
		"arch:":       `"arch:": want arch:NAME, such as arch:x86_64 or arch:arm64`,
		"arch:*":      "",
		"label:a+":    "nothing before or behind a +",
		"+1":          "nothing before or behind a +",
		"label:a++2":  "nothing before or behind a +",
		"1+label:":    "",
		"Label:gpu":   `"Label:gpu" ` + item,
		"label:a;b":   "",
		"label:\x00":  "",
		"1,2,label:ä": "",
	} {
		_, err := ParseNodes(bad)
		if err == nil {
			t.Errorf("%q was taken", bad)
			continue
		}
		if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "NODES ") || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: %v, want … %s", bad, err, want)
		}
	}
}

func TestAMatchMakesNothing(t *testing.T) {
	n, err := ParseNodes("7,node[8-11],label:gpu+arch:arm64")
	if err != nil {
		t.Fatal(err)
	}
	node := parsed("5:node5:ssd,big,gpu:aarch64")
	if got := testing.AllocsPerRun(100, func() {
		if !n.Match(node) {
			t.Error("no match")
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func FuzzParseNodes(f *testing.F) {
	f.Add("1-3,node[5-8],x")
	f.Add("label:gpu+arch:arm64+1-9")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseNodes(s); err == nil {
			n.Match(parsed("3:node3:gpu,ssd:aarch64"))
		}
	})
}

func TestAWishNobodyMeetsStaysHereAndSaysSo(t *testing.T) {
	h := three()
	h.Submit(Job{ID: 1, Nodes: nodes(t, "label:gpu")}, t0)
	h.Granted("n1", Offer{Grants: []Grant{1}, Lease: Lease}, t0)
	if s := h.Take().Starts; len(s) != 1 || s[0].Node != "n1" || s[0].Why != "no node of NODES=label:gpu is up and takes it" {
		t.Errorf("%+v", s)
	}
}
