package system_test

import (
	"fmt"
	"strings"
	"testing"
)

// Recipes of a few milliseconds that the first build has placed stay with node1 in the second; but whoever names nodes is obeyed.
func TestWhatIsKnownToBeShortIsNotSentUnlessNodesAreNamed(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	write(t, dir+"/Makefile", "all: "+targets(40)+"\nt%: ; @hostname >$@ && :\n")
	build := func(env string) string {
		t.Helper()
		r := run(t, sh(node1, fmt.Sprintf("cd %s && rm -f t* && XDG_CACHE_HOME=%s MEXEC_SHORT=500 %s mpmake -s -j4", dir, dir, env)))
		if r.code != 0 {
			t.Fatalf("%+v", r)
		}
		return r.errs
	}
	build("NODES=2")
	if said := build(""); strings.Contains(said, "commands in") {
		t.Errorf("what is short was sent: %s", said)
	}
	if said := build("NODES=2"); !strings.Contains(said, ": node2 40") {
		t.Errorf("not all went where they were to go: %s", said)
	}
}

func targets(n int) (all string) {
	for i := range n {
		all += fmt.Sprint(" t", i)
	}
	return all
}
