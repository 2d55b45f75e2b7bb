package ctl

import "path/filepath"

// LastBuild is the file among those of Cached in which mpmake and mprun leave a monitor.Record of the last build.
const LastBuild = "last-build.json"

// Cached is a file or directory of ours among the user's caches, empty where there is no such place.
func Cached(getenv func(string) string, name string) string {
	cache := getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(cache) { // as the base directory specification says
		if cache = getenv("HOME"); !filepath.IsAbs(cache) {
			return ""
		}
		cache = filepath.Join(cache, ".cache")
	}
	return filepath.Join(cache, "mexec", name)
}
