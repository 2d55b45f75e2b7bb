package gauge

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// mount is one mounted cgroup hierarchy. On a hybrid host there are several, and a controller lives in exactly one.
type mount struct {
	v2          bool
	controllers []string // v1 only
	root        string   // the group that is shown at point: not "/" inside a container
	point       string
}

// cpuQuota is the least number of CPUs that any group above this process allows, fractions included.
// A quota binds all that is below it, so the process's own group is only the first to ask.
func cpuQuota(root fs.FS) (float64, bool) {
	least, found := 0.0, false
	for _, g := range groups(root, "cpu") {
		q, ok := 0.0, false
		if g.v2 {
			q, ok = parseMax(read(root, g.dir, "cpu.max"))
		} else {
			q, ok = parseCFS(read(root, g.dir, "cpu.cfs_quota_us"), read(root, g.dir, "cpu.cfs_period_us"))
		}
		if ok && (!found || q < least) {
			least, found = q, true
		}
	}
	return least, found
}

// parseMax reads cpu.max of cgroup v2: "150000 100000", or "max 100000" for no limit.
func parseMax(text string) (float64, bool) {
	quota, period, _ := strings.Cut(strings.TrimSpace(text), " ")
	return parseCFS(quota, period)
}

// parseCFS reads the two files of cgroup v1; a quota of -1 is no limit.
func parseCFS(quota, period string) (float64, bool) {
	q, err := strconv.ParseInt(strings.TrimSpace(quota), 10, 64)
	if err != nil || q <= 0 {
		return 0, false
	}
	p, err := strconv.ParseInt(strings.TrimSpace(period), 10, 64)
	if err != nil || p <= 0 {
		return 0, false
	}
	return float64(q) / float64(p), true
}

// group is one directory of a cgroup hierarchy.
type group struct {
	v2  bool
	dir string
}

// groups lists, from the inside out, every group that this process is in and that could limit the named controller:
// both of the v1 hierarchy that has it and of v2. Where v2 does not have the controller, its files are not there.
func groups(root fs.FS, controller string) []group {
	mounts := parseMounts(read(root, "proc/self", "mountinfo"))
	var all []group
	for line := range strings.Lines(read(root, "proc/self", "cgroup")) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		v2 := f[0] == "0" && f[1] == ""
		if !v2 && !slices.Contains(strings.Split(f[1], ","), controller) {
			continue
		}
		for _, m := range mounts {
			if m.v2 != v2 || (!v2 && !slices.Contains(m.controllers, controller)) {
				continue
			}
			for _, dir := range ancestors(m, f[2]) {
				all = append(all, group{v2, dir})
			}
			break // a hierarchy that is mounted twice shows the same groups
		}
	}
	return all
}

// ancestors lists the directories of group and of all above it, as far out as the mount shows them. A process may be
// outside of what is mounted (moved there after a cgroup namespace was made: the path starts with "/..", or the mount
// shows somebody else's subtree); then only the mount's own root is known to be ours.
func ancestors(m mount, group string) []string {
	rel, inside := strings.CutPrefix(path.Clean("/"+group), strings.TrimSuffix(m.root, "/"))
	if !inside || (rel != "" && rel[0] != '/') || strings.HasPrefix(group, "/..") {
		rel = ""
	}
	var dirs []string
	for rel != "" && rel != "/" {
		dirs = append(dirs, path.Join(m.point, rel))
		rel = path.Dir(rel)
	}
	return append(dirs, m.point)
}

// parseMounts picks the cgroup hierarchies out of /proc/self/mountinfo, whose lines read
// "id parent major:minor ROOT POINT options [tag…] - TYPE source SUPEROPTIONS".
func parseMounts(text string) []mount {
	var all []mount
	for line := range strings.Lines(text) {
		if !strings.Contains(line, " - cgroup") { // a machine may have thousands of others
			continue
		}
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		f, s := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 6 || len(s) < 3 {
			continue
		}
		m := mount{root: unescape(f[3]), point: unescape(f[4])}
		switch s[0] {
		case "cgroup2":
			m.v2 = true
		case "cgroup":
			m.controllers = strings.Split(s[2], ",")
		default:
			continue
		}
		all = append(all, m)
	}
	return all
}

// unescape undoes the \040 and the like that the kernel writes for white space and backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// read returns the file's text, or nothing: a limit that can't be read is no limit that we could keep to.
func read(root fs.FS, dir, name string) string {
	b, err := fs.ReadFile(root, strings.TrimPrefix(path.Join(dir, name), "/"))
	if err != nil {
		return ""
	}
	return string(b)
}
