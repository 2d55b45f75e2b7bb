// Package tools finds the programs that test/tools.sh has built for the tests in the folders beside this one.
package tools

import (
	"os"
	"path/filepath"
	"testing"
)

// Find is where a program is, or would be.
func Find(name string) (path string, err error) {
	path, err = filepath.Abs("../../tmp/tools/" + name)
	if err == nil {
		_, err = os.Stat(path)
	}
	return path, err
}

// Path is where a program is. A test that needs one that was not built is skipped.
func Path(t testing.TB, name string) string {
	t.Helper()
	path, err := Find(name)
	if err != nil {
		t.Skipf("%v: test/tools.sh builds it", err)
	}
	return path
}
