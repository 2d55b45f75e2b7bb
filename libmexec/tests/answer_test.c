// What a stub does with each answer, and with a daemon that is not one.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define SOCKET "MEXEC_SOCKET=sock"

// offer starts a stub for argv and takes its job.
static int offer(char *const argv[], void (*before)(void), pid_t *pid)
{
	int l = listen_at("sock");
	*pid = run_stub(argv, LIST(SOCKET), before);
	int c = accept_at(l);
	free(receive(c));
	close(l);
	unlink("sock");
	unlink("err");
	return c;
}

static int after_answer(int type, const void *body, size_t length)
{
	pid_t pid;
	int c = offer(LIST("mexec", "/bin/echo", "ran here"), NULL, &pid);
	answer(c, type, body, length);
	close(c);
	return ended(pid);
}

TEST(exit_codes_are_the_programs)
{
	for (uint32_t code = 0; code <= 255; code += 51) {
		int status = after_answer(FRAME_EXITED, &code, 4);
		CHECK(WIFEXITED(status));
		SAME(WEXITSTATUS(status), code);
	}
	SAME_TEXT(contents("out"), "");
}

static void ignore_and_block(void)
{
	setrlimit(RLIMIT_CORE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
	for (int n = 1; n < 32; n++)
		signal(n, SIG_IGN);
	uint64_t all = ~0ull;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
}

TEST(a_signals_death_is_the_programs_even_where_ignored_and_blocked)
{
	const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGABRT, SIGKILL, SIGSEGV, SIGPIPE, SIGTERM, SIGUSR1, SIGSYS, 33, 64};
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		for (int sent = 0; sent < 2; sent++) {
			pid_t pid;
			int c = offer(LIST("mexec", "/bin/true"), sent ? ignore_and_block : NULL, &pid);
			if (sent)
				answer_text(c, FRAME_SENT, "n2: why");
			answer_number(c, FRAME_KILLED, signals[i]);
			int status = ended(pid);
			CHECK(WIFSIGNALED(status));
			SAME(WTERMSIG(status), signals[i]);
			CHECK(!WCOREDUMP(status));
			close(c);
		}
	}
}

static int said_by(char *const argv[], const char *how)
{
	int l = listen_at("sock");
	unlink("err");
	pid_t pid = run_stub(argv, LIST(SOCKET), NULL);
	int c = accept_at(l);
	receive(c);
	close(l);
	unlink("sock");
	for (; *how != '\0'; how++) {
		switch (*how) {
		case 's':
			answer_text(c, FRAME_SENT, "n2: least loaded");
			break;
		case 'w':
			answer_text(c, FRAME_WAITING, "");
			break;
		case 'h':
			answer_text(c, FRAME_HERE, "the only node");
			break;
		case 'e':
			answer_number(c, FRAME_EXITED, 0);
			break;
		case 'f':
			answer_failed(c, 125, "echo: n2 does not answer");
			break;
		}
	}
	close(c);
	int status = ended(pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST(verbose_says_where_and_why)
{
	SAME(said_by(LIST("mexec", "-v", "/bin/echo"), "h"), 0);
	SAME_TEXT(contents("err"), "mexec: here: the only node\n");
	SAME(said_by(LIST("mexec", "-v", "/bin/echo"), "se"), 0);
	SAME_TEXT(contents("err"), "mexec: n2: least loaded\n");
	SAME(said_by(LIST("mexec", "-v", "/bin/echo"), "ssh"), 0);
	SAME_TEXT(contents("err"), "mexec: n2: least loaded\nmexec: n2: least loaded\nmexec: here: the only node\n");
	SAME(said_by(LIST("mexec", "-v", "/bin/echo"), "w"), 0);
	SAME_TEXT(contents("err"), "mexec: here: the daemon went away before it sent the job\n");
	SAME(said_by(LIST("mexec", "/bin/echo"), "h"), 0);
	SAME_TEXT(contents("err"), "");
	SAME(said_by(LIST("mexec", "/bin/echo"), "se"), 0);
	SAME_TEXT(contents("err"), "");
}

TEST(a_failure_of_ours_is_its_line_and_its_status)
{
	SAME(said_by(LIST("mexec", "/bin/echo"), "sf"), 125);
	SAME_TEXT(contents("err"), "mexec: echo: n2 does not answer\n");
	SAME_TEXT(contents("out"), "");
}

TEST(a_daemon_lost_while_the_job_waits_is_a_command_here)
{
	SAME(said_by(LIST("mexec", "/bin/sh", "-c", "echo ran; exit 9"), "w"), 9);
	SAME_TEXT(contents("out"), "ran\n");
	unlink("out");
	SAME(said_by(LIST("mexec", "/bin/sh", "-c", "echo ran; exit 9"), "wsw"), 9); // refused, and waiting again
	SAME_TEXT(contents("out"), "ran\n");
}

TEST(a_daemon_that_went_away_without_reading_the_job_is_a_command_here)
{
	int l = listen_at("sock");
	pid_t pid = run_stub(LIST("mexec", "/bin/sh", "-c", "echo ran; exit 9"), LIST(SOCKET), NULL);
	int c = accept_at(l);
	await(holds_signals, pid); // the job is in the socket
	close(c);
	SAME(ended(pid), 9 << 8);
	SAME_TEXT(contents("out"), "ran\n");
	unlink("out");
	pid = run_stub(LIST("mexec", "/bin/sh", "-c", "echo ran; exit 9"), LIST(SOCKET), NULL);
	await(holds_signals, pid);
	close(l); // and nobody has accepted it
	SAME(ended(pid), 9 << 8);
	unlink("sock");
}

TEST(a_daemon_that_read_the_job_and_said_nothing_may_have_sent_it)
{
	SAME(said_by(LIST("mexec", "/bin/echo", "ran"), ""), 125);
	SAME_TEXT(contents("err"), "mexec: /bin/echo: lost: the daemon of this node went away while the job ran\n");
	SAME_TEXT(contents("out"), "");
}

TEST(a_daemon_lost_after_sent_is_a_loss_and_nothing_runs)
{
	SAME(said_by(LIST("mexec", "/bin/echo", "ran"), "s"), 125);
	SAME_TEXT(contents("err"), "mexec: /bin/echo: lost on n2: the daemon of this node went away while the job ran\n");
	SAME_TEXT(contents("out"), "");
}

TEST(garbage_is_the_daemons_loss)
{
	static const struct {
		const char *bytes;
		size_t length;
	} garbage[] = {
		{"HTTP/1.1 400 Bad Request\r\n\r\n", 28},
		{"MX\2\x12\4\0\0\0\0\0\0\0", 12},           // another version
		{"MX\1\x63\0\0\0\0", 8},                     // an unknown type
		{"MX\1\x10\1\0\1\0", 8},                     // too long
		{"MX\1\x12\5\0\0\0\0\0\0\0\0", 13},          // an EXITED of 5 bytes
		{"MX\1\x12\4\0\0\0\0\1\0\0", 12},            // exit code 256
		{"MX\1\x13\4\0\0\0\0\0\0\0", 12},            // signal 0
		{"MX\1\x13\4\0\0\0\x41\0\0\0", 12},          // signal 65
		{"MX\1\x15\2\0\0\0\0\0", 10},                // a FAILED without its status
		{"MX\1\1\0\0\0\0", 8},                       // EXEC
		{"MX\1\x12\4\0\0\0\0", 9},                   // cut short
		{"MX\1", 3},
	};
	for (size_t i = 0; i < sizeof(garbage) / sizeof(*garbage); i++)
		for (int sent = 0; sent < 2; sent++) {
			pid_t pid;
			unlink("out");
			int c = offer(LIST("mexec", "/bin/echo", "ran"), NULL, &pid);
			answer_text(c, sent ? FRAME_SENT : FRAME_WAITING, "n2: why");
			CHECK(send(c, garbage[i].bytes, garbage[i].length, MSG_NOSIGNAL) == (ssize_t)garbage[i].length);
			close(c);
			int status = ended(pid);
			SAME(status, sent ? 125 << 8 : 0);
			SAME_TEXT(contents("out"), sent ? "" : "ran\n");
		}
}

TEST(answers_may_come_in_pieces_and_in_one)
{
	pid_t pid;
	int c = offer(LIST("mexec", "/bin/echo"), NULL, &pid);
	const char frames[] = "MX\1\x11\4\0\0\0node" "MX\1\x11\0\0\0\0" "MX\1\x12\4\0\0\0\7\0\0\0";
	for (size_t i = 0; i < sizeof(frames) - 1; i++)
		SAME(send(c, frames + i, 1, MSG_NOSIGNAL), 1);
	int status = ended(pid);
	SAME(status, 7 << 8);
	c = offer(LIST("mexec", "/bin/echo"), NULL, &pid);
	SAME(send(c, frames, sizeof(frames) - 1, MSG_NOSIGNAL), sizeof(frames) - 1);
	SAME(ended(pid), 7 << 8);
}

TEST(the_longest_text_is_read_to_its_end)
{
	static char text[FRAME_MAX];
	memset(text, 'x', sizeof(text));
	pid_t pid;
	int c = offer(LIST("mexec", "/bin/echo"), NULL, &pid);
	answer(c, FRAME_SENT, text, sizeof(text));
	answer_number(c, FRAME_EXITED, 5);
	SAME(ended(pid), 5 << 8);
}

static void odd_state(void)
{
	umask(027);
	close(0);
	signal(SIGUSR1, SIG_IGN);
	uint64_t block = 1ull << (SIGUSR2 - 1) | 1ull << 33;
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &block, NULL, 8);
	kill(getpid(), SIGUSR2); // pending across both execve's
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 4096});
}

// Builtins only: dash opens its mask when it forks, and the pending signal would end it.
static const char show[] = "umask; ulimit -c; ulimit -Hc; [ -e /proc/$$/fd/0 ] && echo stdin; "
			   "for f in /proc/$$/fd/*; do case ${f##*/} in [012]|*[0-9][0-9]) ;; *) echo open $f;; esac; done; "
			   "while read k v; do case $k in SigBlk:|SigIgn:|ShdPnd:) echo $k $v;; esac; done </proc/$$/status";

static void outcome_of(bool sent, char *to)
{
	pid_t pid;
	unlink("out");
	int c = offer(LIST("mexec", "/bin/sh", "-c", (char *)show), odd_state, &pid);
	if (sent)
		answer_text(c, FRAME_SENT, "n2: why");
	answer_text(c, FRAME_HERE, "why");
	ended(pid);
	close(c);
	strcpy(to, contents("out"));
}

TEST(here_is_execve_in_place_with_nothing_changed)
{
	char direct[4096], here[4096], refused[4096];
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open("direct", O_WRONLY | O_CREAT, 0600);
		dup2(fd, 1);
		close(fd);
		signal(SIGPIPE, SIG_DFL);
		odd_state();
		execve("/bin/sh", LIST("/bin/sh", "-c", (char *)show), LIST(SOCKET));
	}
	ended(pid);
	strcpy(direct, contents("direct"));
	CHECK(strstr(direct, "SigBlk:") != NULL);
	outcome_of(false, here);
	SAME_TEXT(here, direct);
	outcome_of(true, refused);
	SAME_TEXT(refused, direct);
}

static void close_0_1_2(void)
{
	for (int fd = 0; fd <= 2; fd++)
		close(fd);
}

TEST(with_0_1_2_closed_no_line_for_people_gets_into_the_protocol)
{
	for (int round = 0; round < 2; round++) {
		pid_t pid;
		int c = offer(LIST("mexec", "-v", "/bin/sh", "-c", "[ -e /proc/$$/fd/2 ] && exit 9; exit 8"), close_0_1_2, &pid);
		if (round == 1)
			answer_text(c, FRAME_SENT, "n2: why");
		answer_text(c, FRAME_HERE, "why");
		uint32_t scope;
		SAME(next_signal(c, &scope), 0);
		SAME(ended(pid), 8 << 8);
	}
}

TEST(blocking_mode_of_the_callers_descriptors_stays)
{
	int p[2];
	CHECK(pipe(p) == 0);
	CHECK(dup2(p[0], 0) == 0);
	pid_t pid;
	int c = offer(LIST("mexec", "/bin/true"), NULL, &pid);
	answer_text(c, FRAME_SENT, "n2: why");
	await(holds_signals, pid);
	CHECK(!(fcntl(0, F_GETFL) & O_NONBLOCK));
	answer_number(c, FRAME_EXITED, 0);
	SAME(ended(pid), 0);
}

TEST(a_daemon_of_another_user_gets_nothing)
{
	if (geteuid() != 0)
		return;
	CHECK(chmod(".", 0777) == 0);
	int ready[2];
	char b;
	CHECK(pipe(ready) == 0);
	pid_t stranger = fork();
	if (stranger == 0) {
		CHECK(setresuid(65534, 65534, 65534) == 0);
		int l = listen_at("sock");
		CHECK(write(ready[1], "x", 1) == 1);
		int c = accept_at(l);
		_exit(recv(c, &b, 1, 0) == 0 ? 0 : 1);
	}
	CHECK(read(ready[0], &b, 1) == 1);
	pid_t pid = run_stub(LIST("mexec", "-v", "/bin/echo", "ran"), LIST(SOCKET), NULL);
	SAME(ended(pid), 0);
	SAME_TEXT(contents("err"), "mexec: here: the daemon belongs to another user\n");
	SAME(ended(stranger), 0);
}

TEST(a_users_own_daemon_is_asked_before_the_machines)
{
	CHECK(mkdir("mexec", 0700) == 0);
	int l = listen_at("mexec/mexecd.sock");
	char run[4200] = "XDG_RUNTIME_DIR=";
	CHECK(getcwd(run + 16, 4096) != NULL);
	pid_t pid = run_stub(LIST("mexec", "/bin/true"), LIST(run), NULL);
	int c = accept_at(l);
	receive(c);
	answer_number(c, FRAME_EXITED, 6);
	SAME(ended(pid), 6 << 8);
}
