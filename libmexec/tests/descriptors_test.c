// The descriptors above 2 that execve would hand on, and no others.
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define SOCKET "MEXEC_SOCKET=sock"

static pid_t stub_pid;
static int connection;

// offer runs a stub up to its EXEC frame.
static struct received *offer(void (*before)(void))
{
	int l = listen_at("sock");
	stub_pid = run_stub(LIST("mexec", "/bin/true"), LIST(SOCKET), before);
	connection = accept_at(l);
	struct received *r = receive(connection);
	close(l);
	unlink("sock");
	return r;
}

static void end(void)
{
	answer_number(connection, FRAME_EXITED, 0);
	SAME(ended(stub_pid), 0);
	close(connection);
}

static int opened_at[EXEC_DESCRIPTORS + 10], opened;

static void open_them(void)
{
	int fd = open("sock2", O_RDONLY | O_CREAT, 0600);
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 700);
	close(fd);
	for (int i = 0; i < opened; i++)
		dup2(high, opened_at[i]);
	fcntl(high, F_DUPFD_CLOEXEC, 3); // two that execve closes
}

static void listed(void (*before)(void))
{
	struct received *r = offer(before);
	struct stat a, b;
	SAME(r->head.unsent, 0);
	SAME(r->head.ndescriptors, opened);
	SAME(r->nfds, 3 + opened);
	for (int i = 0; i < opened; i++) {
		SAME(r->descriptors[i], opened_at[i]);
		CHECK(fstat(r->fds[3 + i], &a) == 0 && stat("sock2", &b) == 0 && a.st_ino == b.st_ino);
		close(r->fds[3 + i]);
	}
	end();
}

TEST(the_open_descriptors_above_2_are_attached_with_their_numbers)
{
	static const int sets[][4] = { { 0 }, { 3 }, { 63 }, { 64 }, { 3, 5, 62, 63 }, { 4, 64, 255, 256 }, { 600 }, { 9, 127, 128, 650 } };
	for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		for (opened = 0; opened < 4 && sets[i][opened] != 0; opened++)
			opened_at[opened] = sets[i][opened];
		listed(open_them);
	}
	for (opened = 0; opened < EXEC_DESCRIPTORS; opened++)
		opened_at[opened] = 3 + opened;
	listed(open_them);
}

// As many as a table of 64 places can hold: the kernel's answer that no larger number is open must not be a matter of luck.
TEST(all_places_of_the_smallest_table_are_seen)
{
	for (opened = 0; opened < 61; opened++)
		opened_at[opened] = 3 + opened;
	listed(open_them);
}

static void open_too_many(void)
{
	for (int i = 0; i < EXEC_DESCRIPTORS + 5; i++)
		dup2(1, 3 + i);
}

TEST(too_many_descriptors_are_counted_and_stay)
{
	struct received *r = offer(open_too_many);
	SAME(r->head.unsent, EXEC_DESCRIPTORS + 5);
	SAME(r->head.ndescriptors, 0);
	SAME(r->nfds, 3);
	end();
}

static int held(int fd)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", stub_pid, fd);
	return lstat(path, &st) == 0;
}

static void open_5_and_7(void)
{
	dup2(1, 5);
	dup2(1, 7);
}

TEST(what_the_program_has_closed_is_closed_here)
{
	offer(open_5_and_7);
	CHECK(held(5) && held(7));
	for (int fd = 0; fd <= 2; fd++) // never these, nor what is not the caller's
		answer_number(connection, FRAME_CLOSED, fd);
	answer_number(connection, FRAME_CLOSED, 3);
	answer_number(connection, FRAME_CLOSED, 7);
	for (int i = 0; held(7) && i < 5000; i++)
		usleep(2000);
	CHECK(held(0) && held(1) && held(2) && held(5) && !held(7));
	end();
}
