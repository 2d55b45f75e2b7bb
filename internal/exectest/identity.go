package exectest

import (
	"fmt"
	"os"
	"strings"
)

// Who a program is, and what it may do.

var identity = map[string]Test{
	"umask: 0":                              same(Call{Setup: orders("umask 0")}),
	"umask: 022":                            same(Call{Setup: orders("umask 022")}),
	"umask: 077":                            same(Call{Setup: orders("umask 077")}),
	"umask: 0777":                           same(Call{Setup: orders("umask 0777 rlimit 7 64 64")}),
	"ids: root":                             same(Call{}),
	"ids: a user":                           same(Call{Setup: orders(user)}),
	"ids: a user of no group":               same(Call{Setup: []string{"groups", "", "gid", "1000", "1000", "1000", "uid", "1000", "1000", "1000"}}),
	"ids: a user of some groups":            same(Call{Setup: orders("groups 4,24,27,1000,4000000000 gid 1000 1000 1000 uid 1000 1000 1000")}),
	"ids: groups in no order, twice":        same(Call{Setup: orders("groups 27,4,27,0,4 gid 1000 1000 1000 uid 1000 1000 1000")}),
	"ids: a thousand groups":                same(Call{Setup: []string{"groups", list(1000), "gid", "7", "7", "7", "uid", "1000", "1000", "1000"}}),
	"ids: the largest":                      same(Call{Setup: orders("groups 4294967294 gid 4294967294 4294967294 4294967294 uid 4294967294 4294967294 4294967294")}),
	"ids: nobody with root's group":         same(Call{Setup: orders("groups 0 gid 0 0 0 uid 65534 65534 65534")}),
	"ids: root with another group":          same(Call{Setup: orders("groups 5,6 gid 5 5 5")}),
	"ids: effective unlike real":            same(Call{Setup: orders("groups 1000 gid 1000 1000 1000 uid 1000 0 0")}),
	"ids: real unlike effective":            same(Call{Setup: orders("uid 0 1000 1000")}),
	"ids: saved unlike effective":           same(Call{Setup: orders("gid 1000 1000 1000 uid 1000 1000 0")}),
	"ids: effective group unlike real":      same(Call{Setup: orders("gid 1000 7 7 uid 1000 1000 1000")}),
	"setuid: root's, by a user":             made(func(s *stage) error { return s.copyProbe("set", 0o755|os.ModeSetuid, 0, 0) }, Call{Path: "DIR/set", Setup: orders(user)}),
	"setuid: a user's, by root":             made(func(s *stage) error { return s.copyProbe("set", 0o755|os.ModeSetuid, 1001, 1001) }, Call{Path: "DIR/set"}),
	"setuid: a user's, by another":          made(func(s *stage) error { return s.copyProbe("set", 0o755|os.ModeSetuid, 1001, 1001) }, Call{Path: "DIR/set", Setup: orders(user)}),
	"setgid: by a user":                     made(func(s *stage) error { return s.copyProbe("set", 0o755|os.ModeSetgid, 0, 24) }, Call{Path: "DIR/set", Setup: orders(user)}),
	"setuid: with no new privileges":        made(func(s *stage) error { return s.copyProbe("set", 0o755|os.ModeSetuid, 0, 0) }, Call{Path: "DIR/set", Setup: orders("nnp " + user)}),
	"privileges: none new":                  same(Call{Setup: orders("nnp")}),
	"privileges: none new, a user":          same(Call{Setup: orders("nnp " + user)}),
	"privileges: securebits":                same(Call{Setup: orders("securebits 4")}),
	"privileges: capabilities kept over id": same(Call{Setup: orders("prctl 8 1 " + user)}),
	"privileges: root with fewer":           same(Call{Setup: orders("capdrop 21")}),
	"privileges: a user with fewer to get":  same(Call{Setup: orders("capdrop 21 " + user)}),
	"privileges: a filter of system calls":  same(Call{Setup: orders("seccomp")}),
	"process: not dumpable":                 same(Call{Setup: orders("prctl 4 0")}),
	"process: not dumpable, a user":         same(Call{Setup: orders(user + " prctl 4 0")}),
	"process: a subreaper":                  same(Call{Setup: orders("prctl 36 1")}),
	"process: dies with its parent":         same(Call{Setup: orders("prctl 1 9")}),
	"process: without huge pages":           same(Call{Setup: orders("prctl 41 1")}),
	"process: locked memory":                same(Call{Setup: orders("mlock")}),
	"process: leads a session":              same(Call{Setup: orders("setsid")}),
	"process: leads a group":                same(Call{Setup: orders("setpgid")}),
	"process: had a busy child":             same(Call{Setup: orders("burn")}),
	"process: has a child":                  same(Call{Setup: orders("child")}),
}

func list(n int) string {
	var l []string
	for i := range n {
		l = append(l, fmt.Sprint(3*i))
	}
	return strings.Join(l, ",")
}
