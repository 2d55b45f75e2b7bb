// Package spawn is the worker's edge to the kernel: it starts a process with the exact meaning of execve, holds its whole tree, and reaps it.
//
// A job is a fork of the fork server (libmexec/forkserver.c), a stage, which becomes the job by one execve (libmexec/stage.c). Start returns when that execve has succeeded or
// failed (Hand leaves that to Wait). From then on the caller owns a Process and must call Wait and then Release, in that order and once each, whatever else happens;
// Kill and Signal may be called at any time, from any goroutine, also late, and do not block.
//
// What is promised:
//
//   - A Process is a tree: Kill reaches every process that the job ever made, in whatever session or group. What the job's main process leaves
//     behind lives until Release; after Release nothing of the job exists, or Release has said what does.
//   - No signal goes to a number that is somebody else's by now.
//   - Nothing is left behind: not by Close, not by a daemon that was killed (the guard), not by one before it of the same group (Open).
//   - No thread waits for a job, and no descriptor of one is made non-blocking or kept.
//
// What is not: the order between jobs; that a job's descriptors reach end of file before Release, as its orphans may hold them.
//
// Stops and continues of all jobs arrive through one thread, which waits for them in the kernel (stops.go). It takes these notices for every child of this
// program, and no exits: other code may start and wait for processes of its own, but not by SIGCHLD, which nobody here hears after Open. Do not call
// signal.Ignore after Open: the stage undoes only what was ignored by then.
package spawn

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// patience bounds the wait for killed processes to be gone. Only one that hangs inside the kernel takes longer.
const patience = 5 * time.Second

// ErrClosed is what Start says after Close.
var ErrClosed = errors.New("spawner is closed")

// Config says how a Spawner starts and holds its jobs.
type Config struct {
	Stage    string       // path of mexec-stage
	Cgroup   string       // the daemon's own group of job groups, below the group that the daemon is in: "mexec/node2"; no two live daemons share one
	Log      *slog.Logger // nil: silent
	NoCgroup bool         // supervisors hold the jobs, even where groups could

	// For tests: as on a machine that has version 1 only, and as on a Linux before 5.7.
	noV2, oldV2 bool
}

// Spawner starts jobs. All its methods may be called at the same time.
type Spawner struct {
	stage   string
	log     *slog.Logger
	ignored uint64
	pool    *pool // nil: supervisors hold the jobs
	guard   *guard
	forks   *forkServer
	setters *setterLog
	stops   *stops
	standby *standby
	null    *os.File

	mu     sync.Mutex
	closed bool
}

// Open finds out how jobs can be held here, ends what an earlier daemon of the same group left, and starts the guard.
func Open(cfg Config) (*Spawner, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	stage, err := filepath.Abs(cfg.Stage)
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", cfg.Stage, err)
	}
	if _, err := os.Stat(stage); err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	ignored, err := ignoredSignals()
	if err != nil {
		return nil, err
	}
	s := &Spawner{stage: stage, log: cfg.Log, ignored: ignored}
	if s.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if !cfg.NoCgroup {
		s.pool = openPool(cfg, stage)
	}
	if s.pool != nil {
		if s.guard, err = startGuard(stage, s.pool.dir); err != nil {
			return nil, errors.Join(err, s.pool.close())
		}
	} else if _, err := os.Stat("/proc/thread-self/children"); err != nil {
		return nil, fmt.Errorf("containment: no control group is ours, and a supervisor needs %w", err)
	}
	if s.forks, err = startForkServer(stage); err != nil {
		if s.pool != nil {
			err = errors.Join(err, s.pool.close(), s.guard.close(true))
		}
		return nil, err
	}
	s.setters = openSetterLog(s.log)
	s.stops = watchStops()
	s.standby = &standby{spawner: s}
	s.standby.fill()
	return s, nil
}

// Containment names what holds the jobs: "cgroup2", "cgroup1" or "supervisor".
func (s *Spawner) Containment() string {
	if s.pool == nil {
		return "supervisor"
	}
	return s.pool.kind
}

// Close kills all jobs and waits until nothing of them is left; the owners of processes still have to Wait for them and Release them.
func (s *Spawner) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	s.standby.close()
	s.stops.close(s.forks.ring)
	s.forks.close()
	// Whoever was let in before holds the lock of starts until its process is known.
	s.stops.starting.Lock()
	jobs := s.stops.all()
	s.stops.starting.Unlock()

	var errs []error
	for _, p := range jobs {
		p.Kill()
	}
	deadline := time.Now().Add(patience)
	for _, p := range jobs {
		errs = append(errs, p.gone(deadline))
	}
	if s.pool != nil {
		err := s.pool.close()
		errs = append(errs, err, s.guard.close(err == nil))
	}
	s.setters.close()
	s.null.Close()
	return errors.Join(errs...)
}

func (s *Spawner) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
