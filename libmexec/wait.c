// The conversation with the daemon after EXEC.
//
//	             WAITING                EXITED, KILLED, FAILED
//	  taken <------------> waiting         .------------------------> ended (does not return)
//	   |  |      SENT        |             |
//	   |  '----------------------------------> lost: ended, status 125
//	   |  HERE, never taken  | HERE, lost
//	   '---------------------'-----------> executed here, or offered to the next daemon
//
// A daemon that has taken the job may have sent it off at once, and says nothing of it: most jobs find a free slot, and to be told
// would cost each of them a start of this process. Only where the daemon says WAITING nothing runs for certain, until it says SENT.
// Until it takes the job it leaves the last byte of it unread in the socket; one that goes away then makes a reset connection of it.
//
// Signals belong to the program from the beginning. Where it has not started, the daemon does to us what they would have done to it.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "stub.h"

struct conversation {
	const struct job *job;
	int connection;
	bool sent;  // the program may be running
	bool heard; // the daemon has said something, or something was said to it after the job

	int signals;      // signalfd, -1: none
	uint64_t mask;    // of the caller, in force again before the program is executed here
	uint64_t passed;  // signals that went to the daemon: the program's own where it is executed here after all
	bool group;       // the last stop was for the whole process group, as far as we know: so is the CONT after it
	unsigned stop;    // the last stop that was passed on, 0 = none
	bool continued;   // and CONT after it
	time_t deaf;      // since when the daemon has not read what it was told, 0: it reads
	char node[80];    // " on NODE" that the job was sent to, where that is known

	size_t have;
	char bytes[sizeof(struct frame) + FRAME_MAX + 1];
};

static const uint64_t stops = 1ull << (SIGTSTP - 1) | 1ull << (SIGTTIN - 1) | 1ull << (SIGTTOU - 1);
static const uint64_t by_terminal = 1ull << (SIGTSTP - 1) | 1ull << (SIGTTIN - 1) | 1ull << (SIGTTOU - 1) | 1ull << (SIGINT - 1) |
				    1ull << (SIGQUIT - 1) | 1ull << (SIGHUP - 1) | 1ull << (SIGCONT - 1) | 1ull << (SIGWINCH - 1);

static const uint64_t ending = 1ull << (SIGINT - 1) | 1ull << (SIGQUIT - 1) | 1ull << (SIGHUP - 1) | 1ull << (SIGTERM - 1);

static void take_signals(struct conversation *c)
{
	// All of them, for a blocked signal is queued even where it is ignored: the program may have a handler by now, or wait for it.
	// CHLD tells of children that this process got from before its execve; the program has none where it runs.
	uint64_t set = ~signal_bit(SIGCHLD);
	c->mask = c->job->mask;
	uint64_t blocked = c->mask | set;
	int fd = syscall(SYS_signalfd4, -1, &set, sizeof(set), SFD_CLOEXEC | SFD_NONBLOCK);
	c->signals = fd < 0 || fd > 2 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0 && fd != c->signals)
		close(fd);
	// No descriptor left: better a stub that dies of its signals than one that is deaf to them.
	signal_mask(c->signals < 0 ? &c->mask : &blocked);
}

// The job is not running anywhere.
static void give_signals_back(struct conversation *c)
{
	if (c->signals < 0)
		return;
	for (unsigned n = 1; n <= SIGNALS; n++)
		if (c->passed & signal_bit(n))
			kill(getpid(), n);
	close(c->signals);
	c->signals = -1;
	c->passed = 0;
	signal_mask(&c->mask);
}

static bool send_signal(struct conversation *c, uint32_t n, uint32_t scope)
{
	struct {
		struct frame frame;
		uint32_t signal, scope;
	} m = {{FRAME_MAGIC, FRAME_VERSION, FRAME_SIGNAL, 8}, n, scope};
	c->heard = true;
	// A daemon that lets hundreds of signals lie is not worth to be waited for.
	return send(c->connection, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(m);
}

// A daemon that hangs must not make a process that cannot be interrupted: who has told it something a second ago that still lies
// unread is not waited for again.
static bool deaf(struct conversation *c)
{
	int unread = 0;
	struct timespec now;
	if (ioctl(c->connection, TIOCOUTQ, &unread) != 0 || unread == 0 || clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
		c->deaf = 0;
		return false;
	}
	if (c->deaf == 0)
		c->deaf = now.tv_sec;
	return now.tv_sec - c->deaf > 1;
}

// Nothing tells whether kill(2) was for this process or for its group, and what a recipe has started is in the group there. A tool's own kill of one
// process comes from our parent; ninja's, of a group, comes from it too, but each of its commands leads a group. What else ends a command of a build ends
// builds, and comes by the group. Only of such commands do we take it so: to be wrong is to end more of a tree than was meant.
static bool ends_tree(const struct conversation *c, const struct signalfd_siginfo *s)
{
	return c->job->head.flags & EXEC_DRIVER && signal_bit(s->ssi_signo) & ending && s->ssi_code == SI_USER &&
	       (s->ssi_pid != (uint32_t)getppid() || getpgrp() == getpid());
}

static void pass(struct conversation *c, const struct signalfd_siginfo *s)
{
	uint32_t n = s->ssi_signo;
	uint64_t bit = signal_bit(n);
	if (n == SIGPIPE && s->ssi_pid == (uint32_t)getpid()) // our own line on a broken stderr
		return;
	// SI_KERNEL alone would not do: an alarm's signal is the kernel's too, and for one process.
	bool group = (s->ssi_code == SI_KERNEL && (bit & by_terminal)) || ends_tree(c, s);
	if (bit & stops) {
		c->stop = n;
		c->group = group;
		c->continued = false;
		c->passed &= ~signal_bit(SIGCONT);
	} else if (n == SIGCONT) {
		group = group || c->group;
		c->continued = true;
		c->passed &= ~stops;
	}
	c->passed |= bit;
	if (deaf(c) && (bit & ending))
		end_killed(n);
	send_signal(c, n, group);
}

static void pass_signals(struct conversation *c)
{
	struct signalfd_siginfo s[4];
	ssize_t n = read(c->signals, s, sizeof(s));
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(s[0]); i++)
		pass(c, &s[i]);
}

static void stopped(struct conversation *c, unsigned n)
{
	// A stop that we passed on, and CONT right after it: the two have overtaken this answer, and nobody will continue us again.
	bool stale = n == c->stop && c->continued;
	if (n == c->stop)
		c->stop = 0;
	if (stale)
		return;
	// The program may have stopped its group by itself, and a shell's fg continues a group by kill(2), which looks like a kill of this
	// process alone.
	c->group = true;
	if (!stop_self(n)) {
		send_signal(c, SIGCONT, c->group);
		c->continued = true;
	}
}

static void note_node(struct conversation *c, const char *text)
{
	static const char on[] = " on ";
	const size_t start = sizeof(on) - 1;
	size_t n = strcspn(text, ":");
	if (n >= sizeof(c->node) - start)
		n = sizeof(c->node) - start - 1;
	memcpy(c->node, on, start);
	memcpy(c->node + start, text, n);
	c->node[start + n] = '\0';
}

static _Noreturn void lost(const struct conversation *c)
{
	cook_terminal();
	say("mexec: ", c->job->name, ": lost", c->node, ": the daemon of this node went away while the job ran", NULL);
	_exit(STATUS_LOST);
}

enum verdict { GO_ON, MALFORMED, EXECUTE };

// Acts on one whole frame. body ends in a NUL of ours.
static enum verdict obey(struct conversation *c, const struct frame *f, char *body)
{
	uint32_t number = 0;
	if (f->length >= sizeof(number))
		memcpy(&number, body, sizeof(number));
	bool alone = f->length == sizeof(number);
	c->heard = true;
	switch (f->type) {
	case FRAME_WAITING:
		c->sent = false;
		return GO_ON;
	case FRAME_HERE:
		if (c->job->verbose)
			say("mexec: here: ", body, NULL);
		return EXECUTE;
	case FRAME_SENT:
		c->sent = true;
		note_node(c, body);
		if (c->job->verbose) {
			say("mexec: ", body, NULL);
			send_signal(c, 0, 0); // the program may begin to speak
		}
		return GO_ON;
	case FRAME_EXITED:
		if (alone && number <= 255)
			end_exited(number);
		return MALFORMED;
	case FRAME_KILLED:
		if (alone && number >= 1 && number <= SIGNALS)
			end_killed(number);
		return MALFORMED;
	case FRAME_STOPPED:
		if (!alone || number < 1 || number > SIGNALS)
			return MALFORMED;
		stopped(c, number);
		return GO_ON;
	case FRAME_CLOSED:
		if (!alone)
			return MALFORMED;
		close_descriptor(c->job, number);
		return GO_ON;
	case FRAME_FAILED:
		if (f->length < sizeof(number) || number > 255)
			return MALFORMED;
		say("mexec: ", body + sizeof(number), NULL);
		_exit(number);
	}
	return MALFORMED;
}

// Reads what has come and acts on the frames that are whole. Only what one frame needs is ever waited for.
static enum verdict hear(struct conversation *c)
{
	ssize_t n = recv(c->connection, c->bytes + c->have, sizeof(c->bytes) - 1 - c->have, 0);
	if (n < 0 && errno == EINTR)
		return GO_ON;
	if (n < 0 && errno == ECONNRESET && !c->heard)
		c->sent = false;
	if (n <= 0)
		return MALFORMED;
	c->have += n;
	for (;;) {
		struct frame f;
		if (c->have < sizeof(f))
			return GO_ON;
		memcpy(&f, c->bytes, sizeof(f));
		if (f.magic != FRAME_MAGIC || f.version != FRAME_VERSION || f.length > FRAME_MAX)
			return MALFORMED;
		size_t whole = sizeof(f) + f.length;
		if (c->have < whole)
			return GO_ON;
		char next = c->bytes[whole];
		c->bytes[whole] = '\0';
		enum verdict v = obey(c, &f, c->bytes + sizeof(f));
		if (v != GO_ON)
			return v;
		c->bytes[whole] = next;
		c->have -= whole;
		memmove(c->bytes, c->bytes + whole, c->have);
	}
}

enum answer converse(const struct job *job, int connection)
{
	static struct conversation c; // 64 KiB that the kernel gives page by page
	c.job = job;
	c.connection = connection;
	c.signals = -1;
	c.have = 0;
	c.sent = true;
	c.heard = false;
	take_signals(&c);
	for (;;) {
		if (c.signals >= 0) {
			struct pollfd p[] = {{c.connection, POLLIN, 0}, {c.signals, POLLIN, 0}};
			if (poll(p, 2, -1) < 0)
				continue;
			if (p[1].revents != 0)
				pass_signals(&c);
			if (p[0].revents == 0)
				continue;
		}
		switch (hear(&c)) {
		case GO_ON:
			break;
		case EXECUTE:
			give_signals_back(&c);
			return ANSWER_HERE;
		case MALFORMED:
			if (c.sent)
				lost(&c);
			give_signals_back(&c);
			return ANSWER_NONE;
		}
	}
}
