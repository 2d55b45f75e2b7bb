package stress_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mexec/test/tools"
)

// The same where the jobserver is mpmake's own. Only a make that is killed here takes tokens along, and here is none but the top one.
func TestNoTokenOfMpmakesOwnJobserverIsLostWhateverIsKilled(t *testing.T) {
	all := four(t)
	n, random := draws(t, 60, 1000)
	killed := map[string]int{}
	for _, make := range []string{"make", "make-4.4.1"} {
		bin := t.TempDir()
		path, err := exec.LookPath("make")
		if make != "make" {
			path = tools.Path(t, make)
		}
		if err == nil {
			err = os.Symlink(path, filepath.Join(bin, "make"))
		}
		if err != nil {
			t.Fatal(err)
		}
		d := &driver{path: bin + ":"}
		builds := 0
		for done := 0; done < n/2; builds++ {
			dir := t.TempDir()
			levels(t, dir)
			cmd := all[0].Command("mpmake", "-k")
			cmd.Dir = dir
			cmd.Env = append(cmd.Env, marked(dir), "MEXEC_DEBUG=1")
			d.equip(cmd)
			out, err := os.Create(filepath.Join(dir, "said"))
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout, cmd.Stderr = out, out
			done += torment(t, cmd, dir, all[1:], random, killed, func() {})
			out.Close()
			said, _ := os.ReadFile(filepath.Join(dir, "said"))
			if !strings.Contains(string(said), " 0 tokens missing\n") || strings.Contains(string(said), "INTERNAL") {
				t.Errorf("%s, after %d kills:\n%s", make, done, said)
			}
		}
		t.Logf("%s: all tokens are home after each of %d builds", make, builds)
	}
	t.Logf("killed: %v", killed)
	idle(t)
}
