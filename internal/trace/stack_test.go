package trace

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

// memory is a made-up process's.
type memory map[uint64]byte

func (m memory) put(p piece) {
	for i, b := range p.bytes {
		m[p.at+uint64(i)] = b
	}
}

func (m memory) word(at uint64) uint64 {
	var b [word]byte
	for i := range b {
		b[i] = m[at+uint64(i)]
	}
	return binary.LittleEndian.Uint64(b[:])
}

func (m memory) text(at uint64) (s string) {
	for ; m[at] != 0; at++ {
		s += string(m[at])
	}
	return s
}

func (m memory) list(at uint64) (list []string) {
	for ; m.word(at) != 0; at += word {
		list = append(list, m.text(m.word(at)))
	}
	return list
}

const top = 0x7ffc_0000_0000

// begun is a stack as the kernel makes it.
func begun(path string, args, envs []string, static bool) (memory, []byte) {
	m := memory{}
	next := uint64(top + 1<<16)
	put := func(s string) uint64 {
		at := next
		m.put(piece{at, append([]byte(s), 0)})
		next += uint64(len(s)) + 1
		return at
	}
	words := []uint64{uint64(len(args))}
	for _, list := range [][]string{args, envs} {
		for _, s := range list {
			words = append(words, put(s))
		}
		words = append(words, 0)
	}
	base := uint64(0x7f00_0000_0000)
	if static {
		base = 0
	}
	var b []byte
	for _, w := range append(words, 6, page, atBase, base, atSecure, 0, atExecFn, put(path), atNull, 0) {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	m.put(piece{top, b})
	return m, b
}

func TestTheStubsArgumentsComeInFrontOfThoseThatAreThere(t *testing.T) {
	for _, c := range []struct {
		path  string
		args  []string
		first int
		named bool
		want  []string
	}{
		{"/bin/cc", []string{"cc", "-c", "a.c"}, 0, true, []string{"mexec", "-p", "-a", "cc", "--", "/bin/cc", "-c", "a.c"}},
		{"/bin/cc", []string{"/bin/cc"}, 0, false, []string{"mexec", "-p", "--", "/bin/cc"}},
		{"/bin/cc", []string{"", "x"}, 0, true, []string{"mexec", "-p", "-a", "", "--", "/bin/cc", "x"}},
		{"./s", []string{"/bin/sh", "-e", "./s", "x"}, 2, false, []string{"mexec", "-p", "--", "./s", "x"}},
		{"./s", []string{"/a", "-1", "/b", "-2", "/c", "-3", "./s"}, 6, false, []string{"mexec", "-p", "--", "./s"}},
	} {
		envs := []string{"A=b", "", "C=d"}
		m, b := begun(c.path, c.args, envs, false)
		s, err := parseStack(top, b)
		if err != nil || s.static || s.secure || s.args != len(c.args) || m.text(s.path) != c.path {
			t.Fatalf("%+v, %v", s, err)
		}
		call, now, before := s.front("/usr/bin/mexec", c.first, c.named)
		for _, p := range now {
			m.put(p)
		}
		if got := m.list(call.argv); !slices.Equal(got, c.want) || m.text(call.path) != "/usr/bin/mexec" || !slices.Equal(m.list(call.envp), envs) {
			t.Errorf("%v: %v %q, %q", c.args, m.text(call.path), got, m.list(call.envp))
		}
		m.put(before)
		again := make([]byte, len(b))
		for i := range again {
			again[i] = m[top+uint64(i)]
		}
		if !slices.Equal(again, b) {
			t.Errorf("%v: not undone", c.args)
		}
	}
}

func TestAStackThatIsNotReadToItsEndIsNotTaken(t *testing.T) {
	_, b := begun("/bin/cc", []string{"cc", "x"}, []string{"A=b"}, true)
	for n := range len(b) {
		if _, err := parseStack(top, b[:n]); !errors.Is(err, errPart) {
			t.Fatalf("%d of %d bytes: %v", n, len(b), err)
		}
	}
	s, err := parseStack(top, append(b, 1, 2, 3))
	if err != nil || !s.static || len(s.words) != len(b) {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := parseStack(top, slices.Repeat([]byte{0xff}, 4096)); err == nil {
		t.Error("no stack at all is one")
	}
}

func FuzzAStackOfAnyBytes(f *testing.F) {
	_, b := begun("/bin/cc", []string{"cc", "x"}, []string{"A=b"}, true)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStack(top, b)
		if err == nil {
			s.front("/mexec", s.args-1, true)
		}
	})
}

func TestAFirstLineIsReadAsTheKernelReadsIt(t *testing.T) {
	for line, want := range map[string]struct {
		name   string
		option bool
		ok     bool
	}{
		"#!/bin/sh\n": {"/bin/sh", false, true}, "#! /bin/sh -e \nx": {"/bin/sh", true, true}, "#!\t/bin/sh\t \n": {"/bin/sh", false, true},
		"#!/bin/sh a b c\n": {"/bin/sh", true, true}, "#!/bin/sh": {"/bin/sh", false, true}, "#!\n": {"", false, false}, "#": {"", false, false}, "\x7fELF": {"", false, false},
	} {
		name, option, ok := parseFirstLine([]byte(line))
		if name != want.name || option != want.option || ok != want.ok {
			t.Errorf("%q: %q %v %v", line, name, option, ok)
		}
	}
}
