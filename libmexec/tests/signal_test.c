// Signals go to the program, and its stops come back.
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define SOCKET "MEXEC_SOCKET=sock"

static void own_group(void)
{
	setpgid(0, 0);
}

static int sent_by(char *driver, void (*before)(void), pid_t *pid)
{
	unlink("sock");
	int l = listen_at("sock");
	*pid = run_stub(LIST("mexec", "/bin/true"), LIST(SOCKET, driver), before);
	int c = accept_at(l);
	receive(c);
	answer_text(c, FRAME_SENT, "n2: why");
	await(holds_signals, *pid);
	return c;
}

static int sent(void (*before)(void), pid_t *pid)
{
	return sent_by("X=", before, pid);
}

static void finish(int c, pid_t pid)
{
	answer_number(c, FRAME_EXITED, 42);
	SAME(ended(pid), 42 << 8);
}

TEST(every_catchable_signal_is_forwarded)
{
	pid_t pid;
	uint32_t scope;
	int c = sent(NULL, &pid);
	for (int n = 1; n <= 64; n++) {
		if (n == SIGKILL || n == SIGSTOP || n == SIGCHLD)
			continue;
		CHECK(syscall(SYS_kill, pid, n) == 0);
		SAME(next_signal(c, &scope), n);
		SAME(scope, 0);
	}
	finish(c, pid);
}

static void ignore_some_block_some(void)
{
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR2);
}

// A program that waits for one, or has made a handler by now, gets it here, too.
TEST(ignored_and_blocked_signals_travel)
{
	pid_t pid;
	uint32_t scope;
	int c = sent(ignore_some_block_some, &pid);
	SAME(next_signal(c, &scope), SIGUSR2); // pending since before
	kill(pid, SIGHUP);
	SAME(next_signal(c, &scope), SIGHUP);
	kill(pid, SIGUSR1);
	SAME(next_signal(c, &scope), SIGUSR1);
	kill(pid, SIGTERM);
	SAME(next_signal(c, &scope), SIGTERM);
	finish(c, pid);
}

TEST(a_signal_that_a_waiting_job_got_is_the_programs_where_its_daemon_is_lost)
{
	pid_t pid;
	uint32_t scope;
	int c = sent(NULL, &pid);
	answer_text(c, FRAME_WAITING, "");
	kill(pid, SIGTERM);
	SAME(next_signal(c, &scope), SIGTERM);
	close(c);
	int status = ended(pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST(a_daemon_that_hangs_does_not_make_a_stub_that_cannot_be_interrupted)
{
	int l = listen_at("sock");
	pid_t pid = run_stub(LIST("mexec", "/bin/true"), LIST(SOCKET), NULL);
	int c = accept_at(l), status = 0, times = 0;
	await(holds_signals, pid);
	for (; waitpid(pid, &status, WNOHANG) == 0; times++) {
		kill(pid, SIGINT);
		usleep(100000);
	}
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
	CHECK(times > 5); // and no hasty one
	close(c);
}

TEST(a_signal_that_a_refused_job_got_is_the_programs_here)
{
	pid_t pid;
	uint32_t scope;
	int c = sent(NULL, &pid);
	kill(pid, SIGTERM);
	SAME(next_signal(c, &scope), SIGTERM);
	answer_text(c, FRAME_HERE, "refused");
	int status = ended(pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void alarm_soon(void)
{
	ualarm(200000, 0);
}

TEST(an_alarm_is_for_one_process)
{
	pid_t pid;
	uint32_t scope;
	int c = sent(alarm_soon, &pid);
	SAME(next_signal(c, &scope), SIGALRM);
	SAME(scope, 0);
	finish(c, pid);
}

static bool is_stopped(pid_t pid)
{
	int status;
	return waitpid(pid, &status, WUNTRACED | WNOHANG) == pid && WIFSTOPPED(status);
}

TEST(stop_and_continue_go_both_ways)
{
	const int stops[] = {SIGTSTP, SIGTTIN, SIGTTOU, SIGSTOP};
	pid_t pid;
	uint32_t scope;
	int c = sent(own_group, &pid);
	for (int i = 0; i < 4; i++) {
		if (stops[i] != SIGSTOP) {
			kill(pid, stops[i]);
			SAME(next_signal(c, &scope), stops[i]);
		}
		answer_number(c, FRAME_STOPPED, stops[i]);
		int status;
		SAME(waitpid(pid, &status, WUNTRACED), pid);
		CHECK(WIFSTOPPED(status));
		SAME(WSTOPSIG(status), stops[i]);
		kill(pid, SIGCONT);
		SAME(next_signal(c, &scope), SIGCONT);
	}
	finish(c, pid);
}

static void ignoring_stops(void)
{
	setpgid(0, 0);
	signal(SIGTSTP, SIG_IGN);
	signal(SIGCONT, SIG_IGN);
}

TEST(a_program_may_stop_by_a_signal_that_its_caller_ignored)
{
	pid_t pid;
	uint32_t scope;
	int c = sent(ignoring_stops, &pid);
	answer_number(c, FRAME_STOPPED, SIGTSTP);
	await(is_stopped, pid);
	kill(pid, SIGCONT);
	SAME(next_signal(c, &scope), SIGCONT);
	kill(pid, SIGTSTP); // for us it would be ignored again
	SAME(next_signal(c, &scope), SIGTSTP);
	kill(pid, SIGUSR1);
	SAME(next_signal(c, &scope), SIGUSR1);
	finish(c, pid);
}

static void own_session(void)
{
	setsid();
}

TEST(where_the_kernel_would_not_stop_us_the_program_goes_on)
{
	pid_t pid;
	uint32_t scope;
	int c = sent(own_session, &pid); // an orphaned process group: no shell there to continue it
	kill(pid, SIGTSTP);
	SAME(next_signal(c, &scope), SIGTSTP);
	answer_number(c, FRAME_STOPPED, SIGTSTP);
	SAME(next_signal(c, &scope), SIGCONT);
	finish(c, pid);
}

TEST(a_stop_that_was_continued_meanwhile_is_over)
{
	pid_t pid;
	uint32_t scope;
	int c = sent(own_group, &pid);
	kill(pid, SIGTSTP);
	SAME(next_signal(c, &scope), SIGTSTP);
	kill(pid, SIGCONT);
	SAME(next_signal(c, &scope), SIGCONT);
	answer_number(c, FRAME_STOPPED, SIGTSTP);
	finish(c, pid);
}

TEST(who_has_stopped_goes_on_with_its_group)
{
	pid_t pid;
	uint32_t scope;
	int c = sent(own_group, &pid);
	kill(pid, SIGCONT);
	SAME(next_signal(c, &scope), SIGCONT);
	SAME(scope, 0);
	answer_number(c, FRAME_STOPPED, SIGTSTP); // by itself, perhaps with kill(0, SIGTSTP)
	await(is_stopped, pid);
	kill(pid, SIGCONT);
	SAME(next_signal(c, &scope), SIGCONT);
	SAME(scope, 1);
	finish(c, pid);
}

static int terminal;

static void on_terminal(void)
{
	setsid();
	int fd = open(ptsname(terminal), O_RDWR);
	if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) < 0 || dup2(fd, 0) < 0)
		_exit(98);
}

TEST(what_the_terminal_sends_is_for_the_whole_group)
{
	terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
	pid_t pid;
	uint32_t scope;
	int c = sent(on_terminal, &pid);
	CHECK(write(terminal, "\003", 1) == 1);
	SAME(next_signal(c, &scope), SIGINT);
	SAME(scope, 1);
	CHECK(ioctl(terminal, TIOCSWINSZ, &(struct winsize){.ws_row = 7, .ws_col = 9}) == 0);
	SAME(next_signal(c, &scope), SIGWINCH);
	SAME(scope, 1);
	CHECK(write(terminal, "\032", 1) == 1);
	SAME(next_signal(c, &scope), SIGTSTP);
	SAME(scope, 1);
	kill(pid, SIGCONT); // as a shell's fg: the group was stopped, so the group goes on
	SAME(next_signal(c, &scope), SIGCONT);
	SAME(scope, 1);
	kill(pid, SIGINT);
	SAME(next_signal(c, &scope), SIGINT);
	SAME(scope, 0);
	finish(c, pid);
}

TEST(a_stub_killed_is_a_connection_closed)
{
	pid_t pid;
	uint32_t scope;
	int c = sent(NULL, &pid);
	kill(pid, SIGKILL);
	SAME(next_signal(c, &scope), 0);
	ended(pid);
}

static uint32_t scope_of(char *driver, void (*before)(void), bool by_another)
{
	pid_t pid;
	uint32_t scope;
	int c = sent_by(driver, before, &pid);
	if (by_another && fork() == 0) {
		kill(pid, SIGTERM);
		_exit(0);
	} else if (!by_another) {
		kill(pid, SIGTERM);
	}
	SAME(next_signal(c, &scope), SIGTERM);
	finish(c, pid);
	return scope;
}

// kill(2) does not tell. A ninja kills groups, a make single processes, and a person whole builds.
TEST(what_ends_a_command_of_a_build_is_for_its_group_unless_its_tool_means_it_alone)
{
	char driver[] = "MEXEC_DRIVER=b7:/mexec:";
	SAME(scope_of(driver, NULL, false), 0);
	SAME(scope_of(driver, own_group, false), 1);
	SAME(scope_of(driver, NULL, true), 1);
}

TEST(without_a_build_a_kill_is_for_one_process)
{
	SAME(scope_of("X=", own_group, false), 0);
	SAME(scope_of("X=", NULL, true), 0);
}
