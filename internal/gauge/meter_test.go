package gauge

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Longer than what is read at once, so that the end is one of several parts.
func TestAFileThatStaysOpenIsReadAnewEachTime(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	k := kept{}
	defer k.close()
	for _, n := range []int{1, 4096, 10000, 0, 3} {
		text := strings.Repeat("x", n)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := k.ReadFile(name); err != nil || string(b) != text {
			t.Errorf("%d bytes: %d, %v", n, len(b), err)
		}
	}
	if len(k) != 1 {
		t.Errorf("%d are open", len(k))
	}
}

func TestWhatIsAbsentIsSoUntilClose(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	k := kept{}
	defer k.close()
	gone := func(when string) {
		t.Helper()
		if b, err := k.ReadFile(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %q, %v", when, b, err)
		}
	}
	gone("at first")
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone("as before")
	k.close()
	if b, err := k.ReadFile(name); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
}

// What the functions say that open everything anew is the reference.
func TestAMeterSaysWhatTheFilesSay(t *testing.T) {
	m := NewMeter()
	defer m.Close()
	all := groups(machine, "memory")
	for range 3 {
		if _, total, err := m.Memory(); err != nil {
			t.Error(err)
		} else if _, want, err := memory(machine, all); total != want || err != nil {
			t.Errorf("memory: %d, want %d, %v", total, want, err)
		}
		n, ok := m.Kills()
		if want, wok := kills(machine, all); n != want || ok != wok {
			t.Errorf("kills: %d, %v, want %d, %v", n, ok, want, wok)
		}
		if s := m.Stalled(); s < 0 || s > 1 {
			t.Errorf("stalled: %v", s)
		}
	}
}

// BenchmarkLookAtMemory is what a look costs beside the jobs; anew is without a Meter.
func BenchmarkLookAtMemory(b *testing.B) {
	b.Run("meter", func(b *testing.B) {
		m := NewMeter()
		defer m.Close()
		for b.Loop() {
			m.Memory()
			m.Kills()
			m.Stalled()
		}
	})
	b.Run("anew", func(b *testing.B) {
		for b.Loop() {
			memory(machine, groups(machine, "memory"))
			kills(machine, groups(machine, "memory"))
			stalled(machine, groups(machine, "memory"))
		}
	})
}
