package exectest

// All sixteen limits, soft and hard.

var limits = map[string]Test{
	"limit: cpu":                    same(Call{Setup: orders("rlimit 0 1000 2000")}),
	"limit: fsize":                  same(Call{Setup: orders("rlimit 1 10000000 20000000")}),
	"limit: data":                   same(Call{Setup: orders("rlimit 2 536870912 1073741824")}),
	"limit: stack":                  same(Call{Setup: orders("rlimit 3 4194304 16777216")}),
	"limit: core":                   same(Call{Setup: orders("rlimit 4 0 1000000")}),
	"limit: rss":                    same(Call{Setup: orders("rlimit 5 1000000000 2000000000")}),
	"limit: nproc":                  same(Call{Setup: orders("rlimit 6 1000 2000")}),
	"limit: nofile":                 same(Call{Setup: orders("rlimit 7 64 128")}),
	"limit: memlock":                same(Call{Setup: orders("rlimit 8 65536 131072")}),
	"limit: as":                     same(Call{Setup: orders("rlimit 9 1073741824 2147483648")}),
	"limit: locks":                  same(Call{Setup: orders("rlimit 10 10 20")}),
	"limit: sigpending":             same(Call{Setup: orders("rlimit 11 100 200")}),
	"limit: msgqueue":               same(Call{Setup: orders("rlimit 12 1000 2000")}),
	"limit: nice":                   same(Call{Setup: orders("rlimit 13 5 10")}),
	"limit: rtprio":                 same(Call{Setup: orders("rlimit 14 5 10")}),
	"limit: rttime":                 same(Call{Setup: orders("rlimit 15 100000 200000")}),
	"limit: more files than usual":  same(Call{Setup: orders("rlimit 7 300000 900000")}),
	"limit: no limit on the stack":  same(Call{Setup: orders("rlimit 3 18446744073709551615 18446744073709551615")}),
	"limit: no limit on processes":  same(Call{Setup: orders("rlimit 6 18446744073709551615 18446744073709551615")}),
	"limit: a user's, lowered":      same(Call{Setup: orders("rlimit 7 20 99 rlimit 4 0 0 rlimit 6 5000 5000 " + user)}),
	"limit: a user's, raised":       same(Call{Setup: orders("rlimit 7 100000 900000 rlimit 14 50 50 rlimit 13 30 40 " + user)}),
	"limit: few files":              same(Call{Setup: orders("rlimit 7 10 10")}),
	"limit: no file more":           same(Call{Setup: orders("rlimit 7 3 3")}),
	"limit: no file at all":         same(Call{Setup: orders("rlimit 7 0 0")}),
	"limit: soft zero, hard more":   same(Call{Setup: orders("rlimit 7 0 100")}),
	"limit: all at once":            same(Call{Setup: orders(allLimits)}),
	"limit: all at once, of a user": same(Call{Setup: orders(allLimits + " " + user)}),
}

const allLimits = `rlimit 0 1000 2000 rlimit 1 10000000 20000000 rlimit 2 536870912 1073741824 rlimit 3 4194304 16777216 rlimit 4 0 1000000
	rlimit 5 1000000000 2000000000 rlimit 6 1000 2000 rlimit 7 64 128 rlimit 8 65536 131072 rlimit 9 1073741824 2147483648 rlimit 10 10 20
	rlimit 11 100 200 rlimit 12 1000 2000 rlimit 13 5 10 rlimit 14 5 10 rlimit 15 100000 200000`
