// A daemon to hand the job to, and the EXEC frame: written straight from the strings that the kernel put on our stack.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "stub.h"

// A frame on its way. The descriptors go with the first byte.
struct outbox {
	int connection;
	const int *fds;
	int count;
	bool failed;
	int used;
	struct iovec parts[32];
};

static void flush(struct outbox *o)
{
	struct iovec *part = o->parts, *end = o->parts + o->used;
	while (part < end && !o->failed) {
		union {
			struct cmsghdr header;
			char room[CMSG_SPACE((3 + EXEC_DESCRIPTORS) * sizeof(int))];
		} control;
		struct msghdr m = {.msg_iov = part, .msg_iovlen = end - part};
		if (o->count > 0) {
			memset(&control.header, 0, sizeof(control.header));
			m.msg_control = &control;
			m.msg_controllen = CMSG_SPACE(o->count * sizeof(int));
			control.header.cmsg_level = SOL_SOCKET;
			control.header.cmsg_type = SCM_RIGHTS;
			control.header.cmsg_len = CMSG_LEN(o->count * sizeof(int));
			memcpy(CMSG_DATA(&control.header), o->fds, o->count * sizeof(int));
		}
		ssize_t n = sendmsg(o->connection, &m, MSG_NOSIGNAL);
		if (n < 0) {
			o->failed = errno != EINTR;
			continue;
		}
		o->count = 0;
		for (; part < end && (size_t)n >= part->iov_len; part++)
			n -= part->iov_len;
		if (part < end) {
			part->iov_base = (char *)part->iov_base + n;
			part->iov_len -= n;
		}
	}
	o->used = 0;
}

static void put(struct outbox *o, const void *bytes, size_t n)
{
	struct iovec *last = &o->parts[o->used - 1];
	if (o->used > 0 && (char *)last->iov_base + last->iov_len == bytes) {
		last->iov_len += n;
		return;
	}
	if (o->used == sizeof(o->parts) / sizeof(o->parts[0]))
		flush(o);
	o->parts[o->used++] = (struct iovec){(void *)bytes, n};
}

// Arguments and environment lie in one block, each string behind the other: that is one part, or two where something was taken out.
static void put_strings(struct outbox *o, char *const *list)
{
	for (; *list != NULL; list++)
		put(o, *list, strlen(*list) + 1);
}

bool send_exec(int connection, const struct job *job, const int *fds, int count)
{
	const struct exec_head *h = &job->head;
	uint64_t length = sizeof(*h) + 4ull * h->ngroups + 4ull * h->ndescriptors + h->cwd_len + h->path_len + h->nodes_len + h->build_len +
			  h->repeat_len + 5 + h->strings_len;
	if (length > FRAME_MAX_EXEC)
		return false;
	struct frame f = {FRAME_MAGIC, FRAME_VERSION, FRAME_EXEC, length};
	struct outbox o = {.connection = connection, .fds = fds, .count = count};
	put(&o, &f, sizeof(f));
	put(&o, h, sizeof(*h));
	put(&o, job->groups, 4ull * h->ngroups);
	put(&o, job->descriptors, 4ull * h->ndescriptors);
	put(&o, job->cwd, h->cwd_len + 1);
	put(&o, job->path, h->path_len + 1);
	put(&o, job->nodes, h->nodes_len + 1);
	put(&o, job->build, h->build_len + 1);
	put(&o, job->repeat, h->repeat_len + 1);
	put_strings(&o, job->argv);
	put_strings(&o, job->env);
	flush(&o);
	return !o.failed;
}

// Where the caller has closed 0, 1 or 2 that number stays free: a message for people must not reach the daemon as a frame.
static int open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || fd > 2)
		return fd;
	int above = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return above;
}

// The descriptors of the caller go to whoever listens, and he says what the program's status was. A socket's name comes from the
// environment, which sudo -E and su keep: root must not be led to somebody else's daemon by it.
static bool trusted(int connection, int *pid)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);
	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0)
		return false;
	*pid = peer.pid;
	return peer.uid == 0 || peer.uid == geteuid();
}

static int connect_to(const char *socket, const char **why)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = strlen(socket);
	if (n >= sizeof(a.sun_path)) {
		*why = "the socket's name is too long";
		return -1;
	}
	memcpy(a.sun_path, socket, n + 1);
	int connection = open_socket();
	if (connection >= 0 && connect(connection, (struct sockaddr *)&a, sizeof(a)) == 0)
		return connection;
	*why = "no daemon";
	if (connection >= 0)
		close(connection);
	return -1;
}

int hand_over(struct job *job, const char *socket, const char **why)
{
	int connection = connect_to(socket, why);
	if (connection < 0)
		return -1;
	if (!trusted(connection, &job->daemon)) {
		*why = "the daemon belongs to another user";
	} else if (!describe(job)) { // only now: the daemon wakes up meanwhile
		*why = "the working directory has no name";
	} else {
		int fds[3 + EXEC_DESCRIPTORS], count = 0;
		for (int fd = 0; fd <= 2; fd++)
			if (job->head.fds & 1u << fd)
				fds[count++] = fd;
		for (uint32_t i = 0; i < job->head.ndescriptors; i++)
			fds[count++] = job->descriptors[i];
		// From the first byte on a signal may be for the program, which may run and speak before this process gets the CPU back.
		uint64_t all = ~0ull;
		job->mask = signal_mask(&all);
		if (send_exec(connection, job, fds, count))
			return connection;
		signal_mask(&job->mask);
		*why = "the daemon did not take the job";
	}
	close(connection);
	return -1;
}

// By then it is traced, or will not be: what the answer is does not matter.
void be_traced(const char *socket, const char *path)
{
	static const char query[] = "trace ";
	const char *why;
	int pid, connection = connect_to(socket, &why);
	if (connection < 0)
		return;
	struct frame f = {FRAME_MAGIC, FRAME_VERSION, FRAME_QUERY, sizeof(query) - 1 + strlen(path)};
	struct outbox o = {.connection = connection};
	if (trusted(connection, &pid)) {
		put(&o, &f, sizeof(f));
		put(&o, query, sizeof(query) - 1);
		put(&o, path, strlen(path));
		flush(&o);
		while (!o.failed && read(connection, &f, sizeof(f)) < 0 && errno == EINTR)
			;
	}
	close(connection);
}
