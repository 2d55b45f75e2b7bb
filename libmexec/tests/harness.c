#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *stub_path, *preload_path, *vfork_path, *capture_path, *musl_path, *other_path, *static_path, *waits_path, *load_path;
char *family_paths;

void fail(const char *file, int line, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	fprintf(stderr, "  %s:%d: ", file, line);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
	va_end(list);
	const char *said = contents("err");
	if (*said != '\0')
		fprintf(stderr, "  stderr: %s\n", said);
	exit(1);
}

void redirect(const char *file, int fd)
{
	int f = open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(f, fd);
	close(f);
}

pid_t run_stub(char *const argv[], char *const env[], void (*before)(void))
{
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		redirect("out", 1);
		redirect("err", 2);
		if (before != NULL)
			before();
		execve(stub_path, argv, env);
		_exit(99);
	}
	return pid;
}

int ended(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return -1;
	return status;
}

const char *contents(const char *file)
{
	static char text[1 << 16];
	int fd = open(file, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

void file(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, mode) == 0);
	close(fd);
}

void await(bool (*state)(pid_t), pid_t pid)
{
	for (int i = 0; i < 10000; i++) {
		if (state(pid))
			return;
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	}
	fail(__FILE__, __LINE__, "process %d did not get there in 10 s", pid);
}

bool holds_signals(pid_t pid)
{
	char file[64];
	snprintf(file, sizeof(file), "/proc/%d/status", pid);
	const char *mask = strstr(contents(file), "SigBlk:");
	return mask != NULL && (strtoull(mask + 7, NULL, 16) & 1ull << (SIGTERM - 1));
}

int listen_at(const char *socket_path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", socket_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 64) == 0);
	return fd;
}

int accept_at(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

static bool read_all(int fd, void *to, size_t n)
{
	return n == 0 || recv(fd, to, n, MSG_WAITALL) == (ssize_t)n;
}

static char *cut(char **at, const char *end, size_t length)
{
	char *s = *at;
	CHECK(length < (size_t)(end - s) && strlen(s) == length);
	*at += length + 1;
	return s;
}

static char **cut_list(char **at, const char *end, uint32_t count)
{
	char **list = calloc(count + 1, sizeof(*list));
	for (uint32_t i = 0; i < count; i++)
		list[i] = cut(at, end, strnlen(*at, end - *at));
	return list;
}

struct received *receive(int connection)
{
	struct received *r = calloc(1, sizeof(*r));
	struct frame f;
	char control[CMSG_SPACE((3 + EXEC_DESCRIPTORS) * sizeof(int))];
	struct iovec part = {&f, sizeof(f)};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	SAME(recvmsg(connection, &m, MSG_CMSG_CLOEXEC), sizeof(f));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
		CHECK(c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS);
		r->nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		CHECK(r->nfds <= 3 + EXEC_DESCRIPTORS);
		memcpy(r->fds, CMSG_DATA(c), r->nfds * sizeof(int));
	}
	CHECK(f.magic == FRAME_MAGIC && f.version == FRAME_VERSION && f.type == FRAME_EXEC);
	CHECK(f.length >= sizeof(r->head) && f.length <= FRAME_MAX_EXEC);
	r->length = sizeof(f) + f.length;
	r->bytes = malloc(r->length + 1);
	memcpy(r->bytes, &f, sizeof(f));
	CHECK(read_all(connection, r->bytes + sizeof(f), f.length));
	const char *end = r->bytes + r->length;
	memcpy(&r->head, r->bytes + sizeof(f), sizeof(r->head));
	char *at = r->bytes + sizeof(f) + sizeof(r->head);
	r->groups = (uint32_t *)at;
	at += 4 * r->head.ngroups;
	r->descriptors = (uint32_t *)at;
	at += 4 * r->head.ndescriptors;
	r->cwd = cut(&at, end, r->head.cwd_len);
	r->path = cut(&at, end, r->head.path_len);
	r->nodes = cut(&at, end, r->head.nodes_len);
	r->build = cut(&at, end, r->head.build_len);
	r->repeat = cut(&at, end, r->head.repeat_len);
	SAME(end - at, r->head.strings_len);
	r->argv = cut_list(&at, end, r->head.argc);
	r->env = cut_list(&at, end, r->head.envc);
	CHECK(at == end);
	return r;
}

void answer(int connection, int type, const void *body, size_t length)
{
	char bytes[sizeof(struct frame) + (64 << 10)];
	struct frame f = {FRAME_MAGIC, FRAME_VERSION, type, length};
	memcpy(bytes, &f, sizeof(f));
	memcpy(bytes + sizeof(f), body, length);
	CHECK(send(connection, bytes, sizeof(f) + length, MSG_NOSIGNAL) == (ssize_t)(sizeof(f) + length));
}

void answer_number(int connection, int type, uint32_t number)
{
	answer(connection, type, &number, sizeof(number));
}

void answer_text(int connection, int type, const char *text)
{
	answer(connection, type, text, strlen(text));
}

void answer_failed(int connection, uint32_t status, const char *text)
{
	char body[256];
	memcpy(body, &status, 4);
	memcpy(body + 4, text, strlen(text));
	answer(connection, FRAME_FAILED, body, 4 + strlen(text));
}

int next_signal(int connection, uint32_t *scope)
{
	struct {
		struct frame f;
		uint32_t signal, scope;
	} m;
	if (!read_all(connection, &m, sizeof(m)))
		return 0;
	CHECK(m.f.magic == FRAME_MAGIC && m.f.version == FRAME_VERSION && m.f.type == FRAME_SIGNAL && m.f.length == 8);
	*scope = m.scope;
	return m.signal;
}

static void note(FILE *log, const struct received *r)
{
	fprintf(log, "%s", r->path);
	for (uint32_t i = 0; i < r->head.argc; i++)
		fprintf(log, " [%s]", r->argv[i]);
	fprintf(log, " build=%s driver=%d\n", r->build, !!(r->head.flags & EXEC_DRIVER));
	fflush(log);
}

void serve_here(const char *socket_path, const char *log_path)
{
	int listener = listen_at(socket_path);
	pid_t test = getpid();
	if (fork() != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != test) // it ended before that
		_exit(0);
	alarm(60);
	FILE *log = fopen(log_path, "a");
	for (;;) {
		int c = accept_at(listener);
		note(log, receive(c));
		answer_text(c, FRAME_HERE, "a fake daemon");
		close(c);
	}
}
