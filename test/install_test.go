package test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestUninstallLeavesNothingThatInstallHasMade(t *testing.T) {
	if _, err := os.Stat("../bin/mexecd"); err != nil {
		t.Skip("run make first")
	}
	into := t.TempDir()
	for _, target := range []string{"install", "uninstall"} {
		cmd := exec.Command("make", "-s", target, "DESTDIR="+into)
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make %s: %v\n%s", target, err, out)
		}
		var files []string
		filepath.WalkDir(into, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return err
		})
		if target == "install" && len(files) < 30 || target == "uninstall" && files != nil {
			t.Errorf("after make %s there are %d files: %q", target, len(files), files)
		}
	}
}
