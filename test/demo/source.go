package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// A project is something that make builds.
type project struct {
	name string
	tree string   // a pristine copy
	args []string // of make
}

// debian are the projects that come from Debian: name, source package, arguments of make.
var debian = []project{
	{name: "Lua 5.4", tree: "lua5.4", args: []string{"linux"}},
	{name: "Redis 7", tree: "redis", args: []string{"MALLOC=libc"}}, // jemalloc's configure takes longer than the build
}

func theProjects(ctx context.Context, base string, args []string) ([]project, error) {
	if len(args) > 0 {
		dir, err := filepath.Abs(args[0])
		if err != nil {
			return nil, err
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%s is not the directory of a project", args[0])
		}
		return []project{{name: filepath.Base(dir), tree: dir, args: args[1:]}}, nil
	}
	var all []project
	for _, p := range debian {
		tree, err := debianSource(ctx, filepath.Join(base, "sources"), p.tree)
		if err != nil {
			return nil, err
		}
		all = append(all, project{p.name, tree, p.args})
	}
	return all, nil
}

// debianSource fetches the upstream part of a Debian source package and unpacks it. Debian's own patches are left out:
// they prepare a build against Debian's libraries, and ours shall need a C compiler only.
func debianSource(ctx context.Context, dir, pkg string) (tree string, err error) {
	tree = filepath.Join(dir, pkg)
	if _, err := os.Stat(tree); err == nil {
		return tree, nil
	}
	fmt.Printf("fetching the source of %s from Debian\n", pkg)
	if err := os.MkdirAll(filepath.Join(dir, "apt/lists/partial"), 0o755); err != nil {
		return "", err
	}
	if err := sourceLists(filepath.Join(dir, "apt/sources")); err != nil {
		return "", err
	}
	// With --download-only apt checks every file against the archive's signature, and needs no dpkg-dev.
	out, err := apt(ctx, dir, "update")
	if err == nil {
		out, err = apt(ctx, dir, "source", "--download-only", pkg)
	}
	if err != nil {
		return "", fmt.Errorf("apt-get source %s: %w: %s\n(without Debian's sources: make demo SRC=DIR)", pkg, err, out)
	}
	balls, _ := filepath.Glob(filepath.Join(dir, pkg+"_*.orig.tar.*"))
	if len(balls) == 0 {
		return "", fmt.Errorf("apt-get source %s: no upstream archive came", pkg)
	}
	half := tree + ".unpacking"
	if err := errors.Join(os.RemoveAll(half), os.Mkdir(half, 0o755)); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "tar", "-C", half, "--strip-components=1", "--no-same-owner", "-xf", balls[0]).CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpack %s: %w: %s", pkg, err, out)
	}
	return tree, os.Rename(half, tree)
}

func apt(ctx context.Context, dir string, args ...string) (string, error) {
	options := []string{
		"-q",
		"-o", "Dir::Etc::SourceList=/dev/null",
		"-o", "Dir::Etc::SourceParts=" + filepath.Join(dir, "apt/sources"),
		"-o", "Dir::State::Lists=" + filepath.Join(dir, "apt/lists"),
		"-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", // the machine's caches stay as they are
		"-o", "APT::Sandbox::User=",
	}
	cmd := exec.CommandContext(ctx, "apt-get", append(options, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

var (
	typesLine = regexp.MustCompile(`(?m)^Types:.*$`)
	debLine   = regexp.MustCompile(`(?m)^deb\s.*/debian.*$`)
)

// sourceLists writes into dir the machine's own mirrors of Debian, as sources instead of packages. Other vendors' entries
// are left out: most have no sources, and apt-get update would stop at them.
func sourceLists(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	stanzas, _ := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	lines, _ := filepath.Glob("/etc/apt/sources.list.d/*.list")
	found := false
	put := func(name, text string) error {
		found = true
		return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
	}
	for _, path := range stanzas {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if text := string(b); strings.Contains(text, "debian-archive-keyring") || strings.Contains(text, "/debian") {
			if err := put(filepath.Base(path), typesLine.ReplaceAllString(text, "Types: deb-src")); err != nil {
				return err
			}
		}
	}
	for _, path := range append(lines, "/etc/apt/sources.list") {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // a Debian of today has no sources.list
		}
		var text string
		for _, line := range debLine.FindAllString(string(b), -1) {
			text += "deb-src" + strings.TrimPrefix(line, "deb") + "\n"
		}
		if text != "" {
			if err := put(strings.TrimSuffix(filepath.Base(path), ".list")+".list", text); err != nil {
				return err
			}
		}
	}
	if !found {
		return errors.New("no mirror of Debian is configured here: make demo SRC=DIR")
	}
	return nil
}
