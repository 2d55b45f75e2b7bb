package drive

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mexec/internal/ctl"
	"mexec/internal/monitor"
)

// What builds took is kept in one small file for each kind of build: the same tool with the same arguments in the same directory. Nothing depends
// on it but an estimate, so that all that can go wrong with it is kept quiet.

// manyPasts is how many kinds of builds are remembered.
const manyPasts = 256

// pastFile is where a kind of build is remembered, empty where nowhere.
func pastFile(getenv func(string) string, name, tool string, args []string, dir string) string {
	builds := ctl.Cached(getenv, "builds")
	if builds == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(append([]string{name, tool, dir}, args...), "\x00")))
	return filepath.Join(builds, hex.EncodeToString(sum[:16])+".json")
}

func remember(file string) (e monitor.Expect) {
	b, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(b, &e) != nil {
		return monitor.Expect{}
	}
	return e
}

// record writes what a build took, and forgets the builds that were done longest ago.
func record(file string, e monitor.Expect) {
	b, err := json.Marshal(e)
	if err == nil && file != "" && replace(file, append(b, '\n')) {
		forget(filepath.Dir(file))
	}
}

// keep leaves what there is to say of the build that was the last one, for mexecctl why and mexecctl trace.
func keep(getenv func(string) string, r monitor.Record, lines []monitor.JobLine) {
	file, trace := ctl.Cached(getenv, ctl.LastBuild), ctl.Cached(getenv, ctl.LastBuildTrace)
	if file == "" {
		return
	}
	if b, err := json.Marshal(r); err == nil {
		replace(file, append(b, '\n'))
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for i := range lines {
		e.Encode(&lines[i]) // a Buffer takes all, and a line has nothing that JSON has not
	}
	replace(trace, b.Bytes())
}

// replace gives a file new contents at once: two builds may end at the same time.
func replace(file string, b []byte) bool {
	dir := filepath.Dir(file)
	if os.MkdirAll(dir, 0o700) != nil {
		return false
	}
	f, err := os.CreateTemp(dir, "new-*.tmp")
	if err != nil {
		return false
	}
	_, err = f.Write(b)
	if err = cmp.Or(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err == nil
}

func forget(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) <= manyPasts {
		return
	}
	var files []os.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, f := range files[min(manyPasts, len(files)):] {
		os.Remove(filepath.Join(dir, f.Name()))
	}
}
