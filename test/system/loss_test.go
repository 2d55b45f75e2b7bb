package system_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mexec/test/hosts"
)

// Each run of a counted job leaves a line, with the name of its node, in the file $1. It ends when the file $2 is there.
const counted = `read node </proc/sys/kernel/hostname; echo $node >>"$1"
while [ ! -e "$2" ]; do sleep 0.02; done`

// runs lists the nodes on which a counted job has run.
func runs(file string) []string {
	b, _ := os.ReadFile(file)
	return strings.Fields(string(b))
}

// began waits for the first run of a counted job and says where that is.
func began(t *testing.T, file string) (node string) {
	t.Helper()
	eventually(t, "the job runs", func() bool { return len(runs(file)) > 0 })
	return runs(file)[0]
}

// background starts a command; end waits for it.
func background(t *testing.T, cmd *exec.Cmd) (end func() result) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 20 * time.Second // for what has outlived it, and its output in hand
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-done
	})
	return func() result {
		t.Helper()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatalf("%q: not over after 30 s", cmd.Args)
		}
		return result{out.String(), errs.String(), cmd.ProcessState.ExitCode(), ended(cmd.ProcessState)}
	}
}

func TestALostJobIsNeverRunAgain(t *testing.T) {
	node1, node2, node3 := three(t)
	by := map[string]*hosts.Host{"node1": node1, "node2": node2, "node3": node3}
	for _, victim := range []string{"worker", "home"} {
		t.Run(victim+" daemon killed", func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "runs")
			end := background(t, node1.Command("mexec", "-n", "2,3", "sh", "-c", counted, "counted", file, file+".go"))
			killed := by[began(t, file)]
			if victim == "home" {
				killed = node1
			}
			killDaemon(t, killed)
			if r := end(); r.code != 125 || strings.Count(r.errs, "\n") != 1 || !strings.Contains(r.errs, "sh: lost") {
				t.Errorf("%+v", r)
			}
			// Who were to run it again would do so now: two other nodes are up, and home places jobs.
			restore(t, killed)
			if r := run(t, node1.Command("mexec", "-n", "2,3", "true")); r.code != 0 {
				t.Errorf("the next job: %+v", r)
			}
			if all := runs(file); len(all) != 1 {
				t.Errorf("it ran on %v", all)
			}
		})
	}
}

// The hung worker has the start in its hands: it may run the job later, when nobody waits for it, but home may not give it to another.
func TestAJobSentToAHungWorkerIsLostAndNotSentElsewhere(t *testing.T) {
	node1, node2, _ := three(t)
	file := filepath.Join(t.TempDir(), "runs")
	write(t, file+".go", "")
	run(t, node1.Command("mexec", "-n", "2", "true")) // its slot is ours for a moment: the next job is sent at once
	if err := node2.PauseDaemon(); err != nil {
		t.Fatal(err)
	}
	r := run(t, node1.Command("mexec", "-v", "-n", "2", "sh", "-c", counted, "counted", file, file+".go"))
	before := runs(file)
	if err := node2.ResumeDaemon(); err != nil {
		t.Fatal(err)
	}
	if sent := strings.Contains(r.errs, "mexec: node2: "); sent {
		if r.code != 125 || !strings.Contains(r.errs, "lost on node2") || len(before) != 0 {
			t.Errorf("sent and then: %+v, ran on %v", r, before)
		}
	} else if r.code != 0 || len(before) != 1 || before[0] != "node1" { // the slot had gone: it waited for another, and then ran here
		t.Errorf("not sent, and then: %+v, ran on %v", r, before)
	}
	if err := trio.hs.WaitUp(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if r := run(t, node1.Command("mexec", "-n", "2", "true")); r.code != 0 {
		t.Errorf("the next job: %+v", r)
	}
	if all := runs(file); len(all) > 1 {
		t.Errorf("it ran on %v", all)
	}
}

func TestAJobThatWaitsWhenItsDaemonIsKilledRunsOnceHere(t *testing.T) {
	node1, node2, _ := three(t)
	dir := t.TempDir()
	job := func(name string) (file string, end func() result) {
		file = filepath.Join(dir, name)
		return file, background(t, node1.Command("mexec", "-n", "2", "sh", "-c", counted, "counted", file, filepath.Join(dir, "go")))
	}
	var lost []func() result
	for i := range trio.hs.Slots() { // all that node2 has
		file, end := job(fmt.Sprint("runs", i))
		began(t, file)
		lost = append(lost, end)
	}
	var files []string
	var waiting []func() result
	for i := range 3 {
		file, end := job(fmt.Sprint("waits", i))
		files, waiting = append(files, file), append(waiting, end)
	}
	eventually(t, "all stubs wait", func() bool { return stubs(node1) == len(lost)+len(waiting) })
	for _, file := range files {
		if len(runs(file)) != 0 {
			t.Fatalf("%s runs; node2 has %d slots", file, trio.hs.Slots())
		}
	}
	killDaemon(t, node1)
	for _, end := range lost {
		if r := end(); r.code != 125 {
			t.Errorf("a job that ran on %s: %+v", node2.Name, r)
		}
	}
	for _, file := range files {
		began(t, file)
	}
	write(t, filepath.Join(dir, "go"), "")
	for i, end := range waiting {
		if r := end(); r.code != 0 || r.errs != "" {
			t.Errorf("a job that waited: %+v", r)
		}
		if all := runs(files[i]); len(all) != 1 || all[0] != "node1" {
			t.Errorf("a job that waited ran on %v", all)
		}
	}
	restore(t, node1)
}

func TestExitStatusesOfAProgramAreItsOwn(t *testing.T) {
	node1, _, _ := three(t)
	for _, code := range []int{0, 1, 2, 125, 126, 127, 128, 130, 137, 255} {
		r := run(t, node1.Command("mexec", "-n", "2", "sh", "-c", fmt.Sprint("exit ", code)))
		if r.code != code || r.signal != 0 || r.errs != "" {
			t.Errorf("exit %d: %+v", code, r)
		}
	}
}

// The kernel is the reference: whatever a signal does to a program here, it does to one on another node.
func TestDeathBySignalComesBackAsDeathBySignal(t *testing.T) {
	node1, _, _ := three(t)
	for n := syscall.Signal(1); n <= 31; n++ {
		switch n {
		case syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU: // stop it
			continue
		}
		script := fmt.Sprintf("ulimit -c 0; kill -%d $$; exit 77", n)
		here := run(t, node1.Command("sh", "-c", script))
		there := run(t, node1.Command("mexec", "-n", "2", "sh", "-c", script))
		if here != there {
			t.Errorf("signal %d: here %+v, there %+v", n, here, there)
		}
	}
}

func TestExecvesOwnErrorIsNeitherAStatusNorALoss(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "data"), "no program\n")
	write(t, filepath.Join(dir, "script"), "#!/no/such/interpreter\n")
	if err := os.Chmod(filepath.Join(dir, "script"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		code int
		says string
	}{
		{"./missing", 127, "No such file or directory"},
		{"./data", 126, "Permission denied"},
		{"./script", 127, "No such file or directory"},
	} {
		cmd := node1.Command("mexec", "-n", "2", c.name)
		cmd.Dir = dir
		r := run(t, cmd)
		if r.code != c.code || r.errs != "mexec: "+c.name+": "+c.says+"\n" {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}
