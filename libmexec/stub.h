// The stub: `mexec CMD` as the child that the caller waits for.
//
// One command passes through these files in this order:
//
//	options.c     what the person asked for
//	driver.c      what mpmake told us through make, taken out of the environment again
//	search.c      which file execvp would execute, by sure.c
//	daemon.c      a daemon to hand it to, and the EXEC frame
//	attributes.c  what only this process can see of itself, while that daemon wakes up
//	scheduling.c  and how it is scheduled, which most commands never asked about
//	descriptors.c which descriptors above 2 are open
//	wait.c        the conversation: frames one way, signals the other
//	end.c         ending as the program ended
//
// No malloc, no stdio, no copy of the environment: hundreds of stubs wait at the same time, and each costs its caller the start
// of one process. Until a daemon has the job, nothing of this process has been changed that execve would hand on, and what is changed then is put back.
#ifndef MEXEC_STUB_H
#define MEXEC_STUB_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "frame.h"

enum {
	STATUS_USAGE = 2,
	STATUS_LOST = 125,       // ours, never the program's; as env(1) and timeout(1) have it
	STATUS_CANNOT_RUN = 126, // as a shell has them
	STATUS_NOT_FOUND = 127,
	GROUPS_MAX = 65536, // NGROUPS_MAX of the kernel
};

struct options {
	const char *nodes; // NULL: not given
	const char *argv0; // NULL: the command's own name
	uint32_t rerun;    // EXEC_RERUN_*, or 0: never
	bool chosen;       // rerun was given
	bool verbose;
	bool no_stdin;
	bool pathname; // CMD is a pathname: no PATH search
	bool traced;   // CMD is a driver that stays: have it traced and execute it
	char **command;
};

// parse_options ends the process where there is nothing to run.
struct options parse_options(char **argv);

struct driver {
	bool present;
	const char *build;    // "" = none
	const char *fallback; // socket to try last, "" = none
	uint32_t rerun;       // as in options
	const char *repeat;   // programs that may run twice, "" = none
};

// rerun_flags reads a word of --rerun. False: it is none of them.
bool rerun_flags(const char *word, uint32_t *flags);

// find_fallback is the socket of read_driver's, and changes nothing.
const char *find_fallback(char *const *env);

// read_driver takes MEXEC_DRIVER, what belongs to it and our own LD_PRELOAD entry out of env: in place, so nothing is copied and nothing else moves.
struct driver read_driver(char **env);

struct job {
	const char *name; // as the person wrote it
	const char *path; // what execve gets
	char **argv;
	char **env;
	const char *nodes, *build, *repeat;
	bool verbose;
	bool pathname;
	struct stat program; // the file at path
	bool described;
	uint64_t mask; // of the caller, while hand_over and converse block all signals
	int daemon; // pid of the daemon that it is offered to, 0 where it has none here
	struct exec_head head; // its flags are the options', the rest is describe's
	char cwd[PATH_MAX];
	uint32_t groups[GROUPS_MAX];
	uint32_t descriptors[EXEC_DESCRIPTORS];
};

// describe fills in the head, the directory and the groups. False: the directory has no name, so nobody else can go there.
bool describe(struct job *job);

// scheduling fills in the head from sched_policy to special. What the daemon has as well is nothing that the caller asked for.
void scheduling(struct exec_head *h, int daemon);

// list_descriptors finds the descriptors above 2 that execve would hand on.
void list_descriptors(struct job *job);

// close_descriptor closes one of those, which the program has closed where it runs.
void close_descriptor(const struct job *job, uint32_t number);

// hand_over connects to the daemon at socket, and describes and sends it the job. Returns the connection, or -1 with *why.
int hand_over(struct job *job, const char *socket, const char **why);

// be_traced has mpmake or mprun, whose socket it is, trace this process from its next execve on, that of path. What becomes of that is theirs to say.
void be_traced(const char *socket, const char *path);

// send_exec writes the EXEC frame of job, with the descriptors fds.
bool send_exec(int connection, const struct job *job, const int *fds, int count);

// converse returns where the program is to be executed by somebody else, and does not return where it has ended.
enum answer { ANSWER_HERE, ANSWER_NONE } converse(const struct job *job, int connection);

enum { SIGNALS = 64 };
static inline uint64_t signal_bit(unsigned n) { return 1ull << (n - 1); }

_Noreturn void end_exited(unsigned code);
_Noreturn void end_killed(unsigned signal);
// stop_self stops this process as signal n would. False: the kernel would not (an orphaned process group), nobody will continue us.
bool stop_self(unsigned n);
// cook_terminal makes a terminal usable that a program has left raw: one that has not ended, and whose settings nobody is left to undo.
void cook_terminal(void);

// The kernel's own calls: a libc hides the signals that it uses itself (32 to 34), and execve hands on all 64.
bool signal_ignored(unsigned n);
void signal_default(unsigned n);
uint64_t signal_mask(const uint64_t *set); // the mask before

// say writes its strings, up to a NULL, as one line on stderr.
void say(const char *first, ...) __attribute__((sentinel));

#define getenv_in(env, name) find_variable(env, name "=", sizeof(name))
char *find_variable(char *const *env, const char *prefix, size_t length);

#endif
