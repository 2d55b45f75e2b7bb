package gnumake_test

// A difference is one case that passes plainly and does not where commands go another way.
type difference struct{ version, way, name, why string }

const (
	fifo   = "the test looks for `--jobserver-auth=fifo:./` in a recipe's MAKEFLAGS: on another node a job has a jobserver of that node, by another path"
	parent = "the test takes `$(shell echo $$PPID)` for make's process number; with libmexec that command runs on another node too, where its parent is the node's daemon"
)

var differences = []difference{
	{"4.4.1", "preload", "features/jobserver.15", fifo},
	{"4.4.1", "libmexec", "features/jobserver.15", fifo},
	{"4.4.1", "libmexec", "features/output-sync.15", parent},
	{"4.4.1", "libmexec", "features/temp_stdin.5", parent},
}

func explained(version, way, name string) string {
	for _, d := range differences {
		if d.version == version && d.way == way && d.name == name {
			return d.why
		}
	}
	return ""
}
