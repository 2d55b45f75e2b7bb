package gnumake_test

import (
	"maps"
	"slices"
	"testing"
)

func TestWhatTheSuiteSaysIsUnderstood(t *testing.T) {
	const said = `features/archives ....................................... ok     (15 passed)
features/temp_stdin ..................................... Error running make (expected 512; got 0)
scripts/features/temp_stdin:62: make -f-
FAILED (6/8 passed)
features/timeout ........................................ FAILED (1/3 passed)
functions/guile ......................................... N/A

3 Tests in 2 Categories Failed (See .diff* files in work dir for details) :-(
`
	all := parse(said, map[string]string{"features/temp_stdin.4": "a", "features/temp_stdin.7": "b", "features/timeout": "c", "features/time": "d"})
	for name, want := range map[string]result{
		"features/archives":   {cases: 15, passed: 15},
		"features/temp_stdin": {cases: 8, passed: 6, failed: map[string]string{"features/temp_stdin.4": "a", "features/temp_stdin.7": "b"}},
		"features/timeout":    {cases: 3, passed: 1, failed: map[string]string{"features/timeout": "c", "features/timeout.?": ""}},
		"functions/guile":     {skipped: true},
	} {
		r := all[name]
		if r.cases != want.cases || r.passed != want.passed || r.skipped != want.skipped ||
			!slices.Equal(slices.Sorted(maps.Keys(r.failed)), slices.Sorted(maps.Keys(want.failed))) {
			t.Errorf("%s: %+v, not %+v", name, r, want)
		}
	}
	if len(all) != 4 {
		t.Errorf("%d categories", len(all))
	}
}
