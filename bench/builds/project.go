package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"mexec/test/debian"
)

// A project is what is built: Debian's sources, unmodified.
type project struct {
	name, pkg string
	args      []string // of make
	cc        string   // its compiler, for those that want to be put in front of it
}

var projects = map[string]project{
	"git": {"git", "git", []string{"NO_CURL=1", "NO_EXPAT=1", "NO_GETTEXT=1", "NO_TCLTK=1", "NO_PYTHON=1", "NO_PERL=1", "NO_OPENSSL=1", "CFLAGS=-O1", "SKIP_DASHED_BUILT_INS=1"}, "cc"},
	"lua": {"lua", "lua5.4", []string{"linux", "MYCFLAGS=-O1"}, "gcc -std=gnu99"},
}

// base is where sources, trees and results are, in the module's tmp.
func base() (string, error) {
	dir, err := filepath.Abs("tmp/builds")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat("go.mod"); err != nil {
		return "", fmt.Errorf("builds: run it where the module is: %w", err)
	}
	return dir, errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module builds\n"), 0o644))
}

// yard is where a project is built again and again, always in directories of the same names: paths end up in objects.
type yard struct {
	project
	dir, tree string
}

func newYard(ctx context.Context, p project) (*yard, error) {
	dir, err := base()
	if err != nil {
		return nil, err
	}
	tree, err := debian.Source(ctx, filepath.Join(dir, "sources"), p.pkg)
	return &yard{p, filepath.Join(dir, p.name), tree}, err
}

func (y *yard) path(name string) string { return filepath.Join(y.dir, name) }

// fresh makes the directory name a copy of the sources.
func (y *yard) fresh(ctx context.Context, name string) (string, error) {
	work := y.path(name)
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(y.dir, 0o755)); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", y.tree, work).CombinedOutput(); err != nil {
		return "", fmt.Errorf("copy %s: %w: %s", y.tree, err, out)
	}
	return work, nil
}

// keep puts a built directory aside.
func (y *yard) keep(name, as string) error {
	return errors.Join(os.RemoveAll(y.path(as)), os.Rename(y.path(name), y.path(as)))
}
