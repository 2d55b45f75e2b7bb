package spawn

import (
	"os"
	"syscall"
	"testing"
	"time"

	"mexec/internal/wire"
)

// reportCPU adds what start and program took of the processors: on a busy machine the wall time says little.
func reportCPU(b *testing.B) func() {
	spent := func() time.Duration {
		var d int64
		for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
			var u syscall.Rusage
			syscall.Getrusage(who, &u)
			d += u.Utime.Nano() + u.Stime.Nano()
		}
		return time.Duration(d)
	}
	before := spent()
	return func() { b.ReportMetric(float64((spent()-before).Microseconds())/float64(b.N), "cpu-us/op") }
}

// BenchmarkStartTrue is start and wait of /bin/true, plainly by package os and by a Spawner. The difference is one static execve and about
// twenty system calls here and thirty in the stage.
func BenchmarkStartTrue(b *testing.B) {
	e := &wire.ExecBody{Umask: 0o22, FDs: 7, Cwd: []byte("/"), Path: []byte("/bin/true")}
	for i := range e.Rlimit {
		var l syscall.Rlimit
		syscall.Getrlimit(i, &l)
		e.Rlimit[i] = [2]uint64{l.Cur, l.Max}
	}
	setArgv(e, "true")
	setEnv(e, os.Environ()...)
	body := e.Append(nil)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()

	b.Run("plain", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Files: []*os.File{null, null, null}})
			if err != nil {
				b.Fatal(err)
			}
			p.Wait()
		}
	})
	for kind, cfg := range map[string]Config{"cgroup2": {}, "cgroup1": {noV2: true}, "supervisor": {NoCgroup: true}} {
		b.Run(kind, func(b *testing.B) {
			s := open(b, cfg)
			if s.Containment() != kind {
				b.Skip("not here")
			}
			defer reportCPU(b)()
			for b.Loop() {
				p, err := s.Start(Job{Exec: body, Stdio: [3]*os.File{null, null, null}})
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := p.Wait(); err != nil {
					b.Fatal(err)
				}
				if err := p.Release(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
