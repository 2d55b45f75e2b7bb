package same

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestEveryDifferenceOfBuiltFilesIsSeen(t *testing.T) {
	a := tree(t, map[string]string{"same.o": "\x7fELF1", "d/other.o": "\x7fELF2", "lib.a": "!<arch>\n1", "only-a": "\x7fELF", "a.c": "int a;", "empty": ""})
	b := tree(t, map[string]string{"same.o": "\x7fELF1", "d/other.o": "\x7fELF3", "lib.a": "!<arch>\n2", "only-b": "\x7fELF", "a.c": "int b;", "empty": ""})
	same, different, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(different)
	if want := []string{"d/other.o", "lib.a", "only-a", "only-b"}; same != 1 || !slices.Equal(different, want) {
		t.Errorf("same %d, different %v, want 1 and %v", same, different, want)
	}
}
