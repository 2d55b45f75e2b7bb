package mexec

import (
	"encoding/binary"
	"math/bits"
	"os"
	"strings"
	"sync"
)

// stub is libmexec/locate.c: an option, the driver that the command belongs to, the caller's word, where it is installed.
func (o Options) stub(env []string) string {
	if o.Stub != "" {
		return o.Stub
	}
	if !secure() { // a set-user-ID program must not start what its caller names
		if _, rest, ok := strings.Cut(lookup(env, "MEXEC_DRIVER="), ":"); ok { // BUILD:STUB:FALLBACK
			if stub, _, _ := strings.Cut(rest, ":"); strings.HasPrefix(stub, "/") {
				return stub
			}
		}
		if stub := lookup(env, "MEXEC_STUB="); strings.HasPrefix(stub, "/") {
			return stub
		}
	}
	for _, stub := range []string{"/usr/bin/mexec", "/usr/local/bin/mexec"} {
		if surelyExecutes(stub) {
			return stub
		}
	}
	return ""
}

// lookup finds the first entry with a prefix, as getenv does.
func lookup(env []string, prefix string) string {
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, prefix); ok {
			return value
		}
	}
	return ""
}

// secure is AT_SECURE of getauxval(3): this process has rights that its caller has not. Where that can't be read, it is so.
var secure = sync.OnceValue(func() bool {
	const word, atSecure = bits.UintSize / 8, 23
	number := func(b []byte) uint64 {
		if word == 4 {
			return uint64(binary.NativeEndian.Uint32(b))
		}
		return binary.NativeEndian.Uint64(b)
	}
	auxv, _ := os.ReadFile("/proc/self/auxv")
	for ; len(auxv) >= 2*word; auxv = auxv[2*word:] {
		if number(auxv) == atSecure {
			return number(auxv[word:]) != 0
		}
	}
	return true
})
