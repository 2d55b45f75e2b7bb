package drive

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mexec/internal/monitor"
)

func TestABuildIsRememberedByWhatItIs(t *testing.T) {
	cache := t.TempDir()
	getenv := func(name string) string { return map[string]string{"XDG_CACHE_HOME": cache}[name] }
	file := pastFile(getenv, "mpmake", "/usr/bin/make", []string{"all", "-j8"}, "/project")
	if e := remember(file); e != (monitor.Expect{}) {
		t.Errorf("%+v", e)
	}
	want := monitor.Expect{Commands: 12, Elapsed: time.Minute, CPU: time.Hour}
	record(file, want)
	if e := remember(file); e != want {
		t.Errorf("%+v", e)
	}
	for _, other := range []string{
		pastFile(getenv, "mprun", "/usr/bin/make", []string{"all", "-j8"}, "/project"),
		pastFile(getenv, "mpmake", "/usr/bin/make", []string{"all -j8"}, "/project"),
		pastFile(getenv, "mpmake", "/usr/bin/make", []string{"all", "-j8"}, "/other"),
	} {
		if other == file {
			t.Errorf("another build has the file %s", file)
		}
	}
	os.WriteFile(file, []byte("{"), 0o600)
	if e := remember(file); e != (monitor.Expect{}) {
		t.Errorf("of a broken file: %+v", e)
	}
	record(pastFile(func(string) string { return "" }, "", "", nil, ""), want) // nowhere
}

func TestOnlySoManyBuildsAreRemembered(t *testing.T) {
	cache := t.TempDir()
	getenv := func(name string) string { return map[string]string{"HOME": cache}[name] }
	at := time.Now().Add(-time.Hour)
	for i := range manyPasts + 10 {
		file := pastFile(getenv, "mpmake", "make", []string{fmt.Sprint(i)}, "/")
		record(file, monitor.Expect{Commands: i})
		os.Chtimes(file, at, at.Add(time.Duration(i)*time.Second))
	}
	files, _ := filepath.Glob(filepath.Join(cache, ".cache", "mexec", "builds", "*"))
	if len(files) != manyPasts {
		t.Errorf("%d files", len(files))
	}
	if e := remember(pastFile(getenv, "mpmake", "make", []string{fmt.Sprint(manyPasts + 9)}, "/")); e.Commands != manyPasts+9 {
		t.Errorf("the last is %+v", e)
	}
}
