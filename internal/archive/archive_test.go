package archive

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mexec/internal/history"
)

func load(t *testing.T, dir string) (*File, []history.Row, error) {
	t.Helper()
	f := New(dir)
	rows, aside, err := f.Load()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, rows, aside
}

func save(t *testing.T, f *File, rows []history.Row, gone ...uint64) {
	t.Helper()
	if err := f.Save(rows, gone); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasSavedIsThereTheNextTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state with ?&#% in it")
	f, rows, aside := load(t, dir)
	if len(rows) != 0 || aside != nil {
		t.Errorf("%v, %v", rows, aside)
	}
	a := history.Row{Key: 1 << 63, Name: "cc", Runs: 3, CPU: 1.5, Wall: 2.5, Memory: 3, Spread: 4, Output: 5, Used: 10}
	b := history.Row{Key: 7, Exact: true, Runs: 1, Wall: 1, Used: 20}
	save(t, f, []history.Row{a, b})
	b.Runs, b.Wall = 2, 3
	save(t, f, []history.Row{b, {Key: 9, Runs: 1}}, 9)
	save(t, f, nil, 9)
	// As after a crash: it is not closed, and its log is not part of the file yet.
	_, rows, aside = load(t, dir)
	if !reflect.DeepEqual(rows, []history.Row{a, b}) || aside != nil {
		t.Errorf("%+v, %v", rows, aside)
	}
	if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestAFileThatCannotBeReadIsSetAside(t *testing.T) {
	for what, spoil := range map[string]func(t *testing.T, path string){
		"no database": func(t *testing.T, path string) { write(t, path, []byte(strings.Repeat("no database at all ", 1000))) },
		"damaged": func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			if err != nil || len(b) < 8192 {
				t.Fatal(len(b), err)
			}
			for i := 4096; i < len(b); i++ {
				b[i] ^= 0x55
			}
			write(t, path, b)
		},
		"of a later version": func(t *testing.T, path string) {
			f := New(filepath.Dir(path))
			f.Load()
			f.db.Exec("PRAGMA user_version = 2")
			f.Close()
		},
		"of other columns": func(t *testing.T, path string) {
			f := New(filepath.Dir(path))
			f.Load()
			f.db.Exec("ALTER TABLE cost DROP COLUMN spread")
			f.Close()
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			f, _, _ := load(t, dir)
			var many []history.Row
			for i := range uint64(500) {
				many = append(many, history.Row{Key: i + 1, Runs: 1, Name: "some program"})
			}
			save(t, f, many)
			f.Close()
			spoil(t, filepath.Join(dir, name))
			f, rows, aside := load(t, dir)
			if aside == nil || strings.Contains(aside.Error(), "\n") || len(rows) != 0 {
				t.Errorf("%v, %d rows", aside, len(rows))
			}
			save(t, f, many[:1])
			if _, err := os.Stat(filepath.Join(dir, name+".aside")); err != nil {
				t.Error(err)
			}
			f.Close()
			if _, rows, aside = load(t, dir); aside != nil || len(rows) != 1 {
				t.Errorf("%v, %d rows", aside, len(rows))
			}
		})
	}
}

// A crash, a disk or a person may leave anything of a file and of its log: cut short, with a hole, with other bytes. Whatever it is, a daemon starts, and can save.
func TestWhateverIsLeftOfAFileTheNextDaemonSaves(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for round := range 60 {
		dir := t.TempDir()
		f, _, _ := load(t, dir)
		var rows []history.Row
		for range 1 + r.IntN(400) {
			rows = append(rows, history.Row{Key: 1 + r.Uint64N(1000), Exact: r.IntN(2) == 0, Name: "some program", Runs: 1, Wall: 1})
			if r.IntN(50) == 0 {
				save(t, f, rows)
			}
		}
		save(t, f, rows)
		left := t.TempDir() // as after a crash: with its log
		for _, suffix := range []string{"", "-wal", "-shm"} {
			b, err := os.ReadFile(filepath.Join(dir, name+suffix))
			if err != nil || r.IntN(8) == 0 {
				continue
			}
			switch r.IntN(5) {
			case 0:
				b = b[:r.IntN(len(b)+1)]
			case 1:
				for range 1 + r.IntN(20) {
					if len(b) > 0 {
						b[r.IntN(len(b))] ^= 1 << r.IntN(8)
					}
				}
			case 2:
				at := r.IntN(len(b) + 1)
				clear(b[at:min(len(b), at+r.IntN(5000))])
			case 3:
				b = append(b, b[:r.IntN(len(b)+1)]...)
			}
			write(t, filepath.Join(left, name+suffix), b)
		}
		f.Close()
		f = New(left)
		if _, _, err := f.Load(); err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
		if err := f.Save([]history.Row{{Key: 77, Runs: 5}}, []uint64{78}); err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
		f.Close()
		_, rows, _ = load(t, left)
		if !slices.ContainsFunc(rows, func(r history.Row) bool { return r.Key == 77 && r.Runs == 5 }) {
			t.Fatalf("seed %d, round %d: what was saved is not there", seed, round)
		}
	}
}

func TestWhereNoFileCanBeThereIsAnError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	write(t, dir, nil)
	f := New(dir)
	if _, _, err := f.Load(); err == nil {
		t.Error("no error")
	}
	if err := f.Save([]history.Row{{Key: 1, Runs: 1}}, nil); err == nil {
		t.Error("no error of Save")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestAFileThatSomebodyElseHasIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	f, _, _ := load(t, dir)
	save(t, f, []history.Row{{Key: 1, Runs: 1}})
	if _, err := f.db.Exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT"); err != nil {
		t.Fatal(err)
	}
	f.db.Exec("UPDATE cost SET runs = 2")
	if _, aside, err := New(dir).Load(); err == nil || aside != nil {
		t.Errorf("%v, %v", aside, err)
	}
	save(t, f, []history.Row{{Key: 2, Runs: 1}})
}

// As many rows as history ever has, changed many times.
func TestTheFileStaysSmall(t *testing.T) {
	dir := t.TempDir()
	f, _, _ := load(t, dir)
	var all []history.Row
	for i := range uint64(1<<15 + 1<<12) {
		all = append(all, history.Row{Key: (i + 1) * 0x9e3779b97f4a7c15, Exact: i%8 != 0, Runs: 1, CPU: 1.1, Wall: 1.2, Memory: 1e9, Spread: 1e6, Output: 1e3, Used: 1_700_000_000})
	}
	for range 2 {
		save(t, f, all)
		save(t, f, all[:1000])
	}
	size := int64(0)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if info, err := os.Stat(filepath.Join(dir, name+suffix)); err == nil {
			size += info.Size()
		}
	}
	t.Logf("%d KiB", size>>10)
	if size > 8<<20 {
		t.Errorf("%d KiB", size>>10)
	}
}

func BenchmarkSaveOfOneSecond(b *testing.B) {
	f := New(b.TempDir())
	if _, _, err := f.Load(); err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var rows []history.Row
	for i := range uint64(200) {
		rows = append(rows, history.Row{Key: (i + 1) * 0x9e3779b97f4a7c15, Name: fmt.Sprint(i), Runs: 1})
	}
	for b.Loop() {
		f.Save(rows, nil)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
