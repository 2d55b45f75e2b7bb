package ctl

import (
	"path/filepath"
	"testing"
)

// A build as root made the home that its environment names.
func TestWithoutAHomeThereIsNoCache(t *testing.T) {
	home := t.TempDir()
	for dir, want := range map[string]string{home: filepath.Join(home, ".cache/mexec/x"), filepath.Join(home, "nonexistent"): "", "": ""} {
		getenv := func(name string) string { return map[string]string{"HOME": dir}[name] }
		if got := Cached(getenv, "x"); got != want {
			t.Errorf("HOME=%s: %q", dir, got)
		}
	}
}
