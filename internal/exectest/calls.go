package exectest

// The functions by which a program calls another.

var calls = map[string]Test{
	"call: execve":       by("execve"),
	"call: execv":        by("execv"),
	"call: execvp":       by("execvp"),
	"call: execvpe":      by("execvpe"),
	"call: execl":        by("execl"),
	"call: execlp":       by("execlp"),
	"call: execle":       by("execle"),
	"call: fexecve":      by("fexecve"),
	"call: execveat":     by("execveat"),
	"call: posix_spawn":  by("posix_spawn"),
	"call: posix_spawnp": by("posix_spawnp"),
	"call: fork":         by("fork"),
	"call: vfork":        by("vfork"),
	"call: system":       by("system"),
	"call: popen":        by("popen"),

	"call: posix_spawn, no program":    same(Call{Way: "posix_spawn", Path: "DIR/none"}),
	"call: posix_spawn, a text":        withText("posix_spawn"),
	"call: vfork, no program":          same(Call{Way: "vfork", Path: "DIR/none"}),
	"call: vfork, a text":              withText("vfork"),
	"call: fork, not executable":       same(Call{Way: "fork", Path: "/etc/passwd"}),
	"call: execvp, no program":         same(Call{Way: "execvp", Path: "DIR/none", Env: []string{"PATH=DIR"}}),
	"call: execvp, no PATH":            same(Call{Way: "execvp", Path: "DIR/probe"}),
	"call: posix_spawn that is killed": same(Call{Way: "posix_spawn", Env: []string{"PROBE=die 11"}}),
	"call: vfork that exits":           same(Call{Way: "vfork", Env: []string{"PROBE=exit 77"}}),
}

func by(way string) Test {
	return same(Call{Way: way, Argv: []string{"DIR/probe", "one"}, Env: []string{"PATH=DIR:/usr/bin:/bin", "A=1"}})
}

// withText calls what the kernel does not know: the caller is to hear ENOEXEC, and may turn to a shell.
func withText(way string) Test {
	return made(func(s *stage) error { return writeText(s.path("x")) }, Call{Way: way, Path: "DIR/x"})
}
