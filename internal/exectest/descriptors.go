package exectest

// Descriptors above 2.

var descriptors = map[string]Test{
	"descriptor: none":                       same(Call{}),
	"descriptor: close-on-exec":              same(Call{Setup: orders("open 7 /dev/null 0 0 cloexec 7")}),
	"descriptor: the null device":            same(Call{Setup: orders("open 7 /dev/null 2 0")}),
	"descriptor: a file to read":             made(text("in", 1000), Call{Setup: orders("open 5 DIR/in 0 0")}),
	"descriptor: a file from its middle":     made(text("in", 1000), Call{Setup: orders("open 5 DIR/in 0 500"), Env: []string{"PROBE=tell line 5"}}),
	"descriptor: a file to append to":        made(text("out", 10), Call{Setup: orders("open 5 DIR/out 1025 0"), Env: []string{"PROBE=tell write 5"}}),
	"descriptor: a file to read and write":   made(text("io", 1000), Call{Setup: orders("open 5 DIR/io 2 16")}),
	"descriptor: a high number":              made(text("in", 1000), Call{Setup: orders("open 300 DIR/in 0 0")}),
	"descriptor: many":                       made(text("in", 1000), Call{Setup: manyFiles(40)}),
	"descriptor: a directory":                same(Call{Setup: orders("open 9 DIR 0 0")}),
	"descriptor: a file its user can't open": made(func(s *stage) error { return s.copyProbe("mine", 0o600, 0, 0) }, Call{Setup: orders("open 5 DIR/mine 0 0 " + user)}),
	"descriptor: a file without a name":      made(text("in", 10), Call{Setup: orders("open 5 DIR 4259842 0")}), // O_TMPFILE | O_RDWR
	"descriptor: one open file twice":        made(text("in", 1000), Call{Setup: orders("open 5 DIR/in 0 7 dup 5 8")}),
	"descriptor: one file opened twice":      made(text("in", 1000), Call{Setup: orders("open 5 DIR/in 0 7 open 8 DIR/in 0 9")}),
	"descriptor: 3>&1":                       same(Call{Setup: orders("dup 1 3"), Env: []string{"PROBE=tell write 3"}}),
	"descriptor: 3>&2":                       same(Call{Setup: orders("dup 2 3"), Env: []string{"PROBE=tell write 3"}}),
	"descriptor: a pipe to read from":        same(Call{Setup: append(orders("pipe 7 8 fill 8"), "a line\n", "close", "8"), Env: []string{"PROBE=tell line 7"}}),
	"descriptor: both ends of a pipe":        same(Call{Setup: orders("pipe 7 8")}),
	"descriptor: a socket":                   same(Call{Setup: append(orders("socketpair 7 8 fill 8"), "a line\n", "close", "8"), Env: []string{"PROBE=tell line 7"}}),
	"descriptor: a file in memory":           same(Call{Setup: orders("memfd 5")}),
	"descriptor: an epoll instance":          same(Call{Setup: orders("epoll 5")}),
	"descriptor: an eventfd":                 same(Call{Setup: orders("eventfd 5")}),
	"descriptor: a file with a lock":         made(text("in", 10), Call{Setup: orders("open 5 DIR/in 2 0 flock 5")}),
	"descriptor: a place only (O_PATH)":      same(Call{Setup: orders("open 5 DIR 2097152 0")}),
	"descriptor: a file that does not wait":  made(text("in", 10), Call{Setup: orders("open 5 DIR/in 2048 0")}),
	"descriptor: with 0 to 2 closed":         made(text("in", 10), Call{Setup: orders("open 5 DIR/in 0 0 close 0 close 1 close 2")}),
}

func manyFiles(n int) (setup []string) {
	for i := range n {
		setup = append(setup, "open", itoa(10+i), "DIR/in", "0", itoa(i))
	}
	return setup
}
