// Package debian fetches the sources of real projects, unmodified, for tests and demonstrations that build them.
//
// All comes from the mirrors of Debian that this machine has configured, and apt checks it against the archive's signature. Debian's own patches are
// left out: they prepare a build against Debian's libraries.
package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Source fetches the upstream part of a source package into a directory of its name below dir, once. The tree is to be copied, and not to be built in.
func Source(ctx context.Context, dir, pkg string) (tree string, err error) {
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
	// With --download-only apt checks every file against the archive's signature, and needs no dpkg-dev. The lists of an earlier time may do.
	tries := [][]string{{"source", pkg}, {"update"}, {"source", pkg}}
	if suite := codename(); suite != "" {
		tries = append(tries, []string{"source", pkg + "/" + suite}) // a mirror may have lost a security update
	}
	var out string
	for _, args := range tries {
		if args[0] == "source" {
			args = append(args, "--download-only", "--tar-only")
		}
		if out, err = apt(ctx, dir, args...); err == nil && args[0] == "source" {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("apt-get source %s: %w: %s", pkg, err, out)
	}
	balls, _ := filepath.Glob(filepath.Join(dir, pkg+"_*.orig.tar.*"))
	balls = slices.DeleteFunc(balls, func(name string) bool { return strings.HasSuffix(name, ".asc") })
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

// codename is that of the Debian we run on.
func codename() string {
	b, _ := os.ReadFile("/etc/os-release")
	m := regexp.MustCompile(`(?m)^VERSION_CODENAME=(\w+)$`).FindSubmatch(b)
	if m == nil {
		return ""
	}
	return string(m[1])
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
		return errors.New("no mirror of Debian is configured here")
	}
	return nil
}
