package drive

import "testing"

func TestJobsAreAddedOnlyWhereNobodySaidHowMany(t *testing.T) {
	for _, c := range []struct {
		args  []string
		flags string
		says  bool
	}{
		{nil, "", false},
		{[]string{"all"}, "", false},
		{[]string{"-j8"}, "", true},
		{[]string{"-j", "8"}, "", true},
		{[]string{"-kj"}, "", true},
		{[]string{"--jobs"}, "", true},
		{[]string{"--jobs=3"}, "", true},
		{[]string{"--jo=3"}, "", true},
		{[]string{"--just-print"}, "", false},
		{[]string{"-C", "-j"}, "", false}, // a directory of that name
		{[]string{"-Cj"}, "", false},
		{[]string{"-f", "j.mk", "-kf", "-j"}, "", false},
		{[]string{"--directory", "-j8"}, "", false},
		{[]string{"--directory=x", "-j8"}, "", true},
		{[]string{"-l2.5"}, "", false},
		{[]string{"-Oline"}, "", false},
		{[]string{"--", "-j"}, "", false},
		{[]string{"X=-j"}, "", false},
		{nil, "k", false},
		{nil, "kj4", true},
		{nil, "-k -j4", true},
		{nil, " -j --jobserver-auth=3,4", true},
		{nil, "--jobserver-fds=3,4 -j", true},
		{nil, "k -- X=-j", false},
		{nil, "X=j", false},
	} {
		if got := saysJobs(c.args, c.flags); got != c.says {
			t.Errorf("make %q with MAKEFLAGS=%q: %v", c.args, c.flags, got)
		}
	}
}
