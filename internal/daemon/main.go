package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"mexec"
	"mexec/internal/config"
	"mexec/internal/ident"
)

// Main is the program mexecd: it serves until SIGTERM or SIGINT, not SIGHUP, and returns its exit status. keeper keeps what commands cost, in the state directory. It is an argument because
// mpmake and mprun hold a daemon, too, and no database.
func Main(args []string, getenv func(string) string, stdout, stderr io.Writer, keeper func(state string) Keeper) int {
	for _, a := range args {
		if a == "--version" {
			fmt.Fprintln(stdout, "mexecd", mexec.Version)
			return 0
		}
	}
	c, err := config.Load(args, getenv, os.Geteuid() == 0)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, config.Usage())
		return 0
	}
	if err == nil && c.CheckConfig {
		c.Print(stdout)
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "mexecd:", err)
		return 2
	}
	// The CPUs are the jobs'. Go wakes another thread for each hand-over between goroutines while one of its processors is idle, which on
	// a small machine takes CPUs from the very command that waits for it: with one processor a daemon does half as many context switches.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/4))
	}
	// What lives in a daemon is a few megabytes: at Go's usual pace it would be collected some ten times a second in a busy build.
	debug.SetGCPercent(400)
	log := newLog(c, stderr)
	d, err := open(c, log, keeper(c.State))
	if err != nil {
		fmt.Fprintln(stderr, "mexecd:", err)
		return 1
	}
	if c.Hidden {
		log.Info(fmt.Sprintf("commands find this daemon where MEXEC_SOCKET=%s is in their environment", c.Socket))
	}
	if err := relaxMonitor(); err != nil { // behind open: what a daemon starts there has the clock that everybody has
		log.Debug(fmt.Sprintf("the runtime's monitor keeps its pace: %v", err))
	}
	wait(log)
	log.Info("stopping")
	if err := d.Close(); err != nil {
		log.Error(err.Error())
		return 1
	}
	return 0
}

// wait returns when the daemon is told to end. SIGHUP, which has many a daemon read its file anew, would end all jobs here and on other nodes, and systemd would not start
// what died of it again. Nor does a terminal that closes take the jobs of other nodes along.
func wait(log *slog.Logger) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop() // a second one ends us at once
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	for {
		select {
		case <-hangups:
			log.Warn("hangup: going on as before: settings are read at the start only")
		case <-ctx.Done():
			return
		}
	}
}

// open starts a daemon as its configuration says: with the node's identity, or alone where it has none.
func open(c *config.Config, log *slog.Logger, keeper Keeper) (*Daemon, error) {
	// The terminal that a daemon in the foreground was started from must not become the jobs' /dev/tty.
	if tty, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		if sid, err := unix.Getsid(0); err == nil && sid != os.Getpid() { // a session's leader would hang its whole session up
			unix.IoctlSetInt(tty, unix.TIOCNOTTY, 0)
		}
		unix.Close(tty)
	}
	cfg := Config{
		Socket: c.Socket, State: c.State, Listen: c.Listen, Gossip: c.Gossip, Advertise: c.Advertise, Join: c.Join,
		Slots: c.Slots, Memory: c.Memory, Labels: c.Labels, OwnerFirst: c.OwnerFirst, OwnerFloor: c.OwnerFloor, GuestNice: c.GuestNice, Weights: map[uint32]float64{},
		KeepAlive: c.KeepAlive, MaxSkew: c.MaxSkew, RootJobs: c.RootJobs,
		Cgroup: c.Cgroup, Stage: Beside("mexec-stage"), Debug: c.Debug, Log: log, Keeper: keeper,
	}
	for _, w := range c.Weights {
		cfg.Weights[w.UID] = w.Of
	}
	if len(c.Allow) > 0 {
		cfg.Allow = func(a netip.Addr) bool { return c.Allows(a) }
	}
	id, err := ident.Load(c.State)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		log.Info(fmt.Sprintf("no identity in %s: this node is alone until mexecctl init or join has made one and mexecd is started anew", c.State))
	case err != nil:
		return nil, err
	default:
		cfg.Identity = id
		if cfg.Cgroup == "" {
			cfg.Cgroup = "mexec/" + string(id.Name)
		}
		if cfg.Advertise == "" {
			if cfg.Advertise, err = config.AdvertisedHost(id.Advertise); err != nil {
				return nil, err
			}
		}
	}
	return Open(cfg)
}

func newLog(c *config.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(c.LogLevel))
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
