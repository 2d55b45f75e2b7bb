// A test runs in a process of its own, in an empty directory of its own, which is also where its fake daemon listens ("sock").
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "../frame.h"

struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};
void register_test(struct test *);

#define TEST(id)                                                                                                                   \
	static void id(void);                                                                                                      \
	__attribute__((constructor)) static void register_##id(void)                                                               \
	{                                                                                                                          \
		static struct test t = {#id, id, NULL};                                                                            \
		register_test(&t);                                                                                                 \
	}                                                                                                                          \
	static void id(void)

_Noreturn void fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
#define CHECK(what)                                                                                                                \
	do {                                                                                                                       \
		if (!(what))                                                                                                       \
			fail(__FILE__, __LINE__, "%s", #what);                                                                     \
	} while (0)
#define SAME(got, want)                                                                                                            \
	do {                                                                                                                       \
		long long g_ = (long long)(got), w_ = (long long)(want);                                                           \
		if (g_ != w_)                                                                                                      \
			fail(__FILE__, __LINE__, "%s is %lld, not %lld", #got, g_, w_);                                            \
	} while (0)
#define SAME_TEXT(got, want)                                                                                                       \
	do {                                                                                                                       \
		const char *g_ = (got), *w_ = (want);                                                                              \
		if (strcmp(g_, w_) != 0)                                                                                           \
			fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #got, g_, w_);                                        \
	} while (0)

#define LIST(...) ((char *[]){__VA_ARGS__, NULL})

extern const char *stub_path, *preload_path, *vfork_path, *capture_path, *musl_path, *other_path, *static_path, *waits_path, *load_path; // absolute
extern char *family_paths;				   // programs that are linked with libmexec, each ended by a colon

// file writes a file of the test's directory.
void file(const char *name, const char *text, mode_t mode);

// redirect lets fd add to a file of the test's directory.
void redirect(const char *file, int fd);

// run_stub starts the stub with stdin, "out" and "err" in the test's directory; before runs in the child, last.
pid_t run_stub(char *const argv[], char *const env[], void (*before)(void));
int ended(pid_t pid); // its wait status
const char *contents(const char *file);
void await(bool (*state)(pid_t), pid_t pid);
bool holds_signals(pid_t pid); // the job is on its way to the daemon

struct received {
	struct exec_head head;
	const uint32_t *groups, *descriptors;
	const char *cwd, *path, *nodes, *build, *repeat;
	char **argv, **env;
	int fds[3 + EXEC_DESCRIPTORS], nfds;
	size_t length;
	char *bytes; // the whole frame
};

int listen_at(const char *socket);
int accept_at(int listener);
struct received *receive(int connection);
void answer(int connection, int type, const void *body, size_t length);
void answer_number(int connection, int type, uint32_t number);
void answer_text(int connection, int type, const char *text);
void answer_failed(int connection, uint32_t status, const char *text);
// next_signal reads a SIGNAL frame. Returns the signal, or 0 at the connection's end.
int next_signal(int connection, uint32_t *scope);

// serve_here starts a daemon at socket that answers HERE to everybody and writes one line for each command into the file log.
void serve_here(const char *socket, const char *log);

#endif
