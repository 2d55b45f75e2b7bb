// Package same compares two built trees.
package same

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Compare looks at every object, archive and executable of two built trees, by what the files say they are.
func Compare(a, b string) (same int, different []string, err error) {
	names, err := built(a)
	if err != nil {
		return 0, nil, err
	}
	others, err := built(b)
	if err != nil {
		return 0, nil, err
	}
	for _, name := range others {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		x, errx := os.ReadFile(filepath.Join(a, name))
		y, erry := os.ReadFile(filepath.Join(b, name))
		if errx == nil && erry == nil && bytes.Equal(x, y) {
			same++
		} else {
			different = append(different, name) // missing on one side is a difference too
		}
	}
	return same, different, nil
}

var magics = [][]byte{[]byte("\x7fELF"), []byte("!<arch>\n"), []byte("!<thin>\n")}

func built(root string) (names []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		head := make([]byte, 8)
		n, err := io.ReadFull(f, head)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		if slices.ContainsFunc(magics, func(m []byte) bool { return bytes.HasPrefix(head[:n], m) }) {
			name, _ := filepath.Rel(root, path)
			names = append(names, name)
		}
		return nil
	})
	return names, err
}
