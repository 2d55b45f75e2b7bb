package exectest

import (
	"fmt"
	"strings"
	"testing"
)

// Arguments and environment, to the byte.

var odd = []string{"", " ", "\t\n", "\xff\xfe\x80", "é", "a b", "-n", "--", "-v", "*", "$HOME", `"'\`, strings.Repeat("x", 5000), ""}

// string of the kernel's greatest length, its NUL included.
const longestString = 128 << 10

var arguments = map[string]Test{
	"argv: none at all":                        same(Call{NoArg: true}),
	"argv: the path alone":                     same(Call{}),
	"argv: a zeroth unlike the path":           same(Call{Argv: []string{"another name"}}),
	"argv: an empty zeroth":                    same(Call{Argv: []string{""}}),
	"argv: a zeroth of bytes":                  same(Call{Argv: []string{"\xff\x01"}}),
	"argv: a zeroth that begins with a dash":   same(Call{Argv: []string{"-sh"}}),
	"argv: empty strings":                      same(Call{Argv: []string{"x", "", "", ""}}),
	"argv: odd strings":                        same(Call{Argv: append([]string{"x"}, odd...)}),
	"argv: what looks like options of mexec":   same(Call{Argv: []string{"x", "-n", "1", "-v", "-p", "-a", "y", "--no-stdin", "--help", "--"}}),
	"argv: every byte":                         same(Call{Argv: []string{"x", everyByte()}}),
	"argv: the longest string":                 same(Call{Argv: []string{"x", strings.Repeat("l", longestString-1)}}),
	"argv: a hundred thousand":                 same(Call{Argv: numbers("x", 100_000), Setup: orders("rlimit 3 67108864 67108864")}),
	"argv: a megabyte":                         same(Call{Argv: append([]string{"x"}, many(10, 100<<10)...)}),
	"argv: five megabytes":                     same(Call{Argv: append([]string{"x"}, many(50, 100<<10)...), Setup: orders("rlimit 3 67108864 67108864")}),
	"argv: 4 KiB below the limit of all":       nearLimit(-4096),
	"argv: 64 bytes below the limit of all":    nearLimit(-64),
	"environ: empty":                           same(Call{Env: []string{}}),
	"environ: usual":                           same(Call{Env: []string{"PATH=/usr/bin:/bin", "HOME=/", "TERM=dumb"}}),
	"environ: out of order":                    same(Call{Env: []string{"Z=1", "A=2", "M=3", "B=4"}}),
	"environ: duplicates":                      same(Call{Env: []string{"A=1", "A=2", "B=3", "A=1"}}),
	"environ: entries without an equals sign":  same(Call{Env: []string{"A", "B=1", "no sign", "C"}}),
	"environ: empty strings":                   same(Call{Env: []string{"", "A=1", "", ""}}),
	"environ: names that are no shell's":       same(Call{Env: []string{"=x", "=", "A.b=1", "A b=2", "1=2", "BASH_FUNC_f%%=() { :; }"}}),
	"environ: bytes":                           same(Call{Env: []string{"A=" + everyByte(), "\xff\xfe=\x80"}}),
	"environ: the longest string":              same(Call{Env: []string{"A=" + strings.Repeat("l", longestString-3)}}),
	"environ: twenty thousand":                 same(Call{Env: numbers("A=", 20_000)}),
	"environ: a megabyte":                      same(Call{Env: many(10, 100<<10)}),
	"environ: a library of somebody else":      same(Call{Env: []string{"LD_PRELOAD=/nowhere/x.so", "LD_LIBRARY_PATH=/nowhere"}}),
	"environ: names that mexec knows":          same(Call{Env: []string{"MEXEC_MAKE=gmake", "MEXEC=1", "MEXECD_LISTEN=:1"}}),
	"environ: a jobserver that is not there":   same(Call{Env: []string{"MAKEFLAGS= -j --jobserver-auth=-2,-2", "MAKELEVEL=1"}}),
	"environ: a driver's":                      same(Call{Env: []string{"A=1", "MEXEC_DRIVER=b:/nowhere/mexec:", "LD_PRELOAD=/nowhere/libmexec-preload.so", "B=2"}}),
	"environ: an environment setter of nobody": same(Call{Env: []string{"ENVSETTER="}}),
}

func everyByte() string {
	var b []byte
	for i := 1; i < 256; i++ {
		b = append(b, byte(i))
	}
	return string(b)
}

func many(count, size int) (list []string) {
	for i := range count {
		list = append(list, fmt.Sprintf("%d=%s", i, strings.Repeat(string(rune('a'+i%26)), size)))
	}
	return list
}

func numbers(prefix string, count int) (list []string) {
	for i := range count {
		list = append(list, fmt.Sprint(prefix, i))
	}
	return list
}

// nearLimit comes as near to the limit of arguments and environment together as by bytes. With a stack of 8 MiB that is 2 MiB: each
// string with its NUL and a pointer to it, and the pathname.
func nearLimit(by int) Test {
	return func(t *testing.T, r Runner) {
		s := newStage(t, r)
		room := 2<<20 + by
		env := 0
		for _, e := range r.Env {
			env += len(e) + 1 + 8
		}
		room -= env + len(s.path("probe")) + 1
		argv := []string{"x"}
		room -= 2 + 8
		for room > 0 {
			n := min(room, 64<<10)
			if n < 10 {
				argv[0] += strings.Repeat("x", n)
				break
			}
			argv = append(argv, strings.Repeat("y", n-1-8))
			room -= n
		}
		s.same(Call{Setup: orders("rlimit 3 8388608 8388608"), Argv: argv})
	}
}
