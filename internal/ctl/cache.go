package ctl

import (
	"os"
	"path/filepath"
)

// Files among those of Cached that mpmake and mprun leave of the last build: a monitor.Record, and a monitor.JobLine for each command that was placed.
const (
	LastBuild      = "last-build.json"
	LastBuildTrace = "last-build.trace"
)

// Cached is a file or directory of ours among the user's caches, empty where there is no such place. A home that is not there is not made: package builds
// have one on purpose (/nonexistent), and look whether it stays so.
func Cached(getenv func(string) string, name string) string {
	cache := getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(cache) { // as the base directory specification says
		if cache = getenv("HOME"); !filepath.IsAbs(cache) {
			return ""
		}
		if info, err := os.Stat(cache); err != nil || !info.IsDir() {
			return ""
		}
		cache = filepath.Join(cache, ".cache")
	}
	return filepath.Join(cache, "mexec", name)
}
