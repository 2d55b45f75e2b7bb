package exectest

import (
	"regexp"
	"slices"
)

// The columns.
const (
	here    = "here"
	there   = "there"
	preload = "preload"
	library = "library"
)

// Difference is one thing that is not as the kernel's execve has it, and why that is so.
type Difference struct {
	Name    string
	Runners []string
	Tests   string // a regular expression of whole names; "": it shows everywhere
	Facts   string // a regular expression of the whole names of what differs
	Why     string
	Race    bool // whether it shows is a matter of time, or of the machine: it stands in the table, shown or not
}

var away = []string{there, preload, library}

// Declared is the whole of what may differ. What is only not built yet says so.
var Declared = []Difference{
	{
		Name:    "the process number is another, and so is the parent's",
		Runners: away,
		Facts:   `pid`,
		Why:     "the process that the caller waits for is the stub; the program is a child of the other node's daemon",
	},
	{
		Name:    "the program leads a process group of its own",
		Runners: away,
		Facts:   `group`,
		Why:     "a signal for the caller's group is for the job's whole group there",
	},
	{
		Name:    "the program does not lead a session",
		Runners: away,
		Tests:   `process: leads a session`,
		Facts:   `session`,
		Why:     "a group in a session of its own is an orphaned one, which the kernel does not let stop",
	},
	{
		Name:    "a caller in doubt about its ids stays at home",
		Runners: away,
		Tests:   `ids: .* unlike .*`,
		Facts:   `node`,
		Why:     "a node vouches for a user by what its kernel says of the caller's credentials, which has one id",
	},
	{
		Name:    "a caller with privileges of its own stays at home",
		Runners: away,
		Tests:   `privileges: (securebits|root with fewer)|(class|input and output|nice|memory): (round robin, of a user|real, a user|-5, of a user|a user's to be spared)|class: deadline`,
		Facts:   `node`,
		Why:     "what the kernel would deny to this user, or to this root, no node gives on another's word",
	},
	{
		Name:    "the bounding set of a user's capabilities is the node's",
		Runners: away,
		Tests:   `privileges: a user with fewer to get`,
		Facts:   `status\.CapBnd`,
		Why:     "it says what setuid programs may get; to be asked for 41 bits would cost each command more than all its attributes",
	},
	{
		Name:    "a filter of system calls does not travel",
		Runners: away,
		Tests:   `privileges: a filter of system calls`,
		Facts:   `status\.Seccomp`,
		Why:     "the kernel does not let a process read its own; whoever must be confined must not reach the daemon's socket",
	},
	{
		Name:    "a command in a directory that is not the same there stays at home",
		Runners: away,
		Tests:   `directory: (deleted|that only home has|that may not be searched|behind one that is closed)|root: another`,
		Facts:   `node`,
		Why:     "it could not be entered there by its name, by this user",
	},
	{
		Name:    "what only the caller's namespaces have is not seen",
		Runners: away,
		Tests:   `mounts: .*`,
		Facts:   `status`,
		Why:     "the program has the node's files, of which its directory and itself are compared with the caller's; and so with the network",
	},
	{
		Name:    "a caller that may open no file stays at home",
		Runners: away,
		Tests:   `limit: (no file more|no file at all|soft zero, hard more)`,
		Facts:   `node`,
		Why:     "the stub needs one descriptor to reach its daemon",
	},
	{
		Name:    "a program by an open descriptor is one by name",
		Runners: []string{here, there},
		Tests:   `call: (fexecve|execveat)`,
		Facts:   `execfn`,
		Why:     "the caller executes mexec so",
	},
	{
		Name:    "what libc calls inside itself stays at home, and what has no name",
		Runners: []string{preload, library},
		Tests:   `call: (fexecve|execveat|system|popen)`,
		Facts:   `node`,
		Why:     "a library before libc's does not see it",
	},
	{
		Name:    "posix_spawn stays at home",
		Runners: []string{library},
		Tests:   `call: posix_spawnp?`,
		Facts:   `node`,
		Why:     "libmexec has the exec family only",
	},
	{
		Name:    "arguments that may leave no room for mexec's stay at home",
		Runners: []string{preload, library},
		Tests:   `argv: (none at all|64 bytes below the limit of all|4 KiB below the limit of all|a hundred thousand)`,
		Facts:   `node`,
		Why:     "they are the caller's stack's and execve's, which have limits",
	},
	{
		Name:    "a program that execve might refuse stays at home",
		Runners: []string{preload, library},
		Tests:   `(program|script): that may not be read|script: (no newline at its end|an argument that is cut)|program: of no class`,
		Facts:   `node`,
		Why:     "the kernel itself then gives its own errno, or runs it",
	},
	{
		Name:    "without a stub at the place that the environment names, the program stays at home",
		Runners: []string{library},
		Tests:   `environ: a driver's`,
		Facts:   `node`,
		Why:     "libmexec executes it itself then",
	},
	{
		Name:    "a command too near to the limit of arguments is E2BIG",
		Runners: []string{here, there},
		Tests:   `argv: 64 bytes below the limit of all`,
		Facts:   `.*`,
		Why:     "the words of `mexec -n … --` count too",
	},
	{
		Name:    "how long a timer has is not seen, and a timer of CPU time never ends",
		Runners: away,
		Tests:   `timer: (how long an alarm has|of the program's own CPU|of all its CPU)`,
		Facts:   `timer\..*`,
		Why:     "the timers stay with the stub, which relays the signal of the real one",
	},
	{
		Name:    "SIGCHLD is not relayed",
		Runners: away,
		Tests:   `kill: CHLD|signal: CHLD pending`,
		Facts:   `heard|stdout|status`,
		Why:     "it tells of the children of the stub's process, and the program has none where it runs",
	},
	{
		Name:    "a STOP that somebody sends stops the stub and what comes back, not the program",
		Runners: away,
		Tests:   `stop: by a kill, STOP`,
		Facts:   `program`,
		Why:     "the one signal beside KILL that no process hears of; its parent alone is told. TSTP stops both",
	},
	{
		Name:    "that there is a core is not in the status",
		Runners: away,
		Tests:   `exit: with a core`,
		Facts:   `status`,
		Why:     "the stub dies of the same signal and must write no core of its own; the program's lies where it ran",
		Race:    true,
	},
	{
		Name:    "the signal of a parent's death is not seen",
		Runners: away,
		Tests:   `process: dies with its parent`,
		Facts:   `pdeathsig`,
		Why:     "the stub keeps it: it dies with its parent, and the program's whole tree with it",
	},
	{
		Name:    "the times of the caller's own children are not in times()",
		Runners: away,
		Tests:   `process: had a busy child`,
		Facts:   `children`,
		Why:     "they are the stub's process's; the program's own come back with its end",
	},
	{
		Name:    "a timer slack of more than 4.29 s is that much",
		Runners: away,
		Tests:   `timer slack: more than 4 s`,
		Facts:   `slack|timerslack`,
		Why:     "it travels as 32 bits of nanoseconds",
	},
	{
		Name:    "MEXEC_DRIVER and the shim in LD_PRELOAD are not in the environment",
		Runners: []string{here, there, preload},
		Tests:   `environ: a driver's`,
		Facts:   `env\..*`,
		Why:     "mpmake put them there, and the command must see what it would without",
	},
	{
		Name:    "files as 1 and 2 are pipes",
		Runners: away,
		Tests:   `stdout: a file.*|stdio: 0, 1 and 2 are one`,
		Facts:   `fd\.[012].*`,
		Why:     "many commands of a build share one log: only the home's own writes have the right offset",
	},
	{
		Name:    "a socket as 0 or 1 is a pipe, which goes one way",
		Runners: away,
		Tests:   `stdin: a socket.*`,
		Facts:   `fd\.[01].*`,
		Why:     "it is relayed",
	},
	{
		Name:    "of a pipe as stdin up to a page more is taken than is read",
		Runners: away,
		Tests:   `stdin: a pipe, of which a part`,
		Facts:   `unread`,
		Why:     "nobody can put bytes back into a pipe; `--no-stdin` takes none",
	},
	{
		Name:    "of a pipe as stdin that nobody reads a page may be taken",
		Runners: away,
		Tests:   `stdin: a pipe that nobody reads`,
		Facts:   `unread`,
		Why:     "as before, unless the program ends at once",
		Race:    true,
	},
	{
		Name:    "an error of 0, 1 or 2 that is no end of a pipe is not heard",
		Runners: away,
		Tests:   `stdout: (to read only|full)|stdin: a file to write only`,
		Facts:   `status|stdout|stderr`,
		Why:     "the program writes to a pipe, and the home to what is behind it: the next write then says EPIPE, and a program that has ended well by then is a loss, with a line that says why",
	},
	{
		Name:    "the null device is one open file",
		Runners: away,
		Tests:   `stdio: the null device twice|terminal: stdin|random`,
		Facts:   `fd\.[12]\.same`,
		Why:     "there is nothing in it to share but its flags",
	},
	{
		Name:    "a command with a descriptor that can't travel stays at home",
		Runners: away,
		Tests:   `descriptor: (a file (in memory|without a name|with a lock|its user can't open)|an epoll instance|an eventfd|a place only \(O_PATH\))`,
		Facts:   `node`,
		Why:     "it is nothing that another kernel could have, or open for this user",
	},
	{
		Name:    "a terminal is a mirror of the caller's",
		Runners: away,
		Tests:   `terminal: .*`,
		Facts:   `fd\.[012]\.termios|session`,
		Why:     "its settings have EXTPROC, by which the caller's terminal does the cooking; its session is led by the job's supervisor, or the kernel would take the job's group for orphaned and never stop it",
	},
}

func declared(test, runner, fact string) *Difference {
	for i := range Declared {
		if d := &Declared[i]; d.covers(test, runner) && whole(d.Facts, fact) {
			return d
		}
	}
	return nil
}

func (d *Difference) covers(test, runner string) bool {
	return slices.Contains(d.Runners, runner) && (d.Tests == "" || whole(d.Tests, test))
}

func whole(expression, s string) bool {
	return regexp.MustCompile(`^(` + expression + `)$`).MatchString(s)
}
