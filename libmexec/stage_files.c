// The job's descriptors above 2, and its descriptor 0 where that is a file which can be opened here.
//
// Files are opened last of all, as the job's user and in its directory, and never made: what the caller has open exists. Nothing is put at
// its number before all of it is there, far above the highest number that the job has, so that no two are in each other's way.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "stage.h"

struct attached attached;

// What the stage itself needs besides, while it puts them in place.
enum { SPARE = 8 };

static int above(int fd, int base, uint32_t number)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, base);
	if (high < 0)
		fail(STEP_DESCRIPTOR, errno, number << 3);
	close(fd);
	return high;
}

static struct stage_descriptor next(const char **at)
{
	struct stage_descriptor d;
	memcpy(&d, *at, sizeof d);
	*at += sizeof d + d.path_len + 1;
	return d;
}

// parse_descriptors returns where the table ends, 0 where it is not whole. A job's attached ones must all be in it.
char *parse_descriptors(struct stage *s, char *at, const char *end)
{
	uint32_t streams = 0;
	if (end - at < (ptrdiff_t)sizeof s->ndescriptors)
		return 0;
	memcpy(&s->ndescriptors, at, sizeof s->ndescriptors);
	s->descriptors = at += sizeof s->ndescriptors;
	for (uint32_t i = 0; i < s->ndescriptors; i++) {
		struct stage_descriptor d;
		if ((size_t)(end - at) < sizeof d)
			return 0;
		memcpy(&d, at, sizeof d);
		at += sizeof d;
		if ((uint64_t)(end - at) < d.path_len + 1ull || at[d.path_len] || d.number > 1 << 28)
			return 0;
		at += d.path_len + 1;
		streams += d.kind == DESCRIPTOR_ATTACHED;
		if (d.number >= s->top)
			s->top = d.number + 1;
	}
	return s->ndescriptors <= EXEC_DESCRIPTORS + 1 && streams == attached.count ? at : 0;
}

// make_room lets descriptors be where the caller has them, and above, whatever its limit has become since it opened them.
void make_room(const struct stage *s, struct limit *l)
{
	uint64_t need = s->top + s->ndescriptors + SPARE;
	if (!s->ndescriptors)
		return;
	if (l->soft < need)
		l->soft = need;
	if (l->hard < need)
		l->hard = need;
}

// The difference between a file here and the caller's: 0 = none.
static enum directory differs(const struct stage *s, const struct stage_descriptor *d, int fd)
{
	struct stat st;
	struct statfs fs;
	int same_kernel = !!(s->head->flags & STAGE_SAME_KERNEL);
	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return DIRECTORY_INODE;
	if ((st.st_mode & S_IFMT) != (d->mode & S_IFMT))
		return DIRECTORY_INODE;
	if (S_ISCHR(st.st_mode))
		return st.st_rdev == d->rdev ? DIRECTORY_SAME : DIRECTORY_INODE;
	struct place here = {
		.dev = st.st_dev,
		.ino = st.st_ino,
		.fs = (uint32_t)fs.f_type,
		.ctime_sec = st.st_ctim.tv_sec,
		.ctime_nsec = (uint32_t)st.st_ctim.tv_nsec,
	};
	return same_place(&d->seen, &here, same_kernel, s->head->skew_ms);
}

// open_file returns the file as the caller has it, or -1 with errno, or 0 there and *difference. O_NONBLOCK until we know that it is a file: what
// has its name here may be a FIFO that nobody writes to.
static int open_file(const struct stage *s, const struct stage_descriptor *d, const char *path, enum directory *difference)
{
	int fd = open(path, (int)d->flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	errno = 0;
	*difference = differs(s, d, fd);
	if (*difference == DIRECTORY_SAME && (d->flags & O_NONBLOCK || !fcntl(fd, F_SETFL, d->flags)) &&
	    (S_ISCHR(d->mode) || lseek(fd, d->offset, SEEK_SET) >= 0))
		return fd;
	int err = errno;
	close(fd);
	errno = err;
	return -1;
}

// hand_back gives the daemon a copy of each open file whose position the job may move: it looks at them when the job has ended. err says why
// descriptor 0 is not among them, where it should have been.
static void hand_back(const int *files, uint32_t count, int err)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE((EXEC_DESCRIPTORS + 1) * sizeof(int))];
	} control;
	struct record r = { .step = STEP_OPENED, .err = (uint32_t)err, .detail = count };
	struct iovec part = { &r, sizeof r };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	if (count) {
		memset(&control.header, 0, sizeof control.header);
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), files, count * sizeof(int));
	}
	if (sendmsg(channel, &m, MSG_NOSIGNAL) != sizeof r)
		_exit(1); // the daemon is gone
}

void place_descriptors(struct stage *s)
{
	int placed[EXEC_DESCRIPTORS + 1], files[EXEC_DESCRIPTORS + 1];
	uint32_t count = 0, stream = 0;
	int base = (int)s->top, missed = 0;
	channel = above(channel, base, 0);
	if (started >= 0)
		started = above(started, base, 0);

	const char *at = s->descriptors;
	for (uint32_t i = 0; i < s->ndescriptors; i++) {
		const char *path = at + sizeof(struct stage_descriptor);
		struct stage_descriptor d = next(&at);
		enum directory difference = DIRECTORY_SAME;
		placed[i] = -1;
		if (d.kind == DESCRIPTOR_ATTACHED)
			placed[i] = above(attached.fds[stream++], base, d.number);
		if (d.kind == DESCRIPTOR_ATTACHED && d.flags & O_NONBLOCK)
			fcntl(placed[i], F_SETFL, fcntl(placed[i], F_GETFL) | O_NONBLOCK);
		if (d.kind != DESCRIPTOR_FILE)
			continue;
		int fd = open_file(s, &d, path, &difference);
		if (fd >= 0) {
			placed[i] = above(fd, base, d.number);
			if (!S_ISCHR(d.mode))
				files[count++] = placed[i];
		} else if (d.number > 2) {
			fail(STEP_DESCRIPTOR, errno, d.number << 3 | difference);
		} else { // it is relayed instead
			missed = errno ? errno : ESTALE;
		}
	}
	hand_back(files, count, missed);

	at = s->descriptors;
	for (uint32_t i = 0; i < s->ndescriptors; i++) {
		struct stage_descriptor d = next(&at);
		int from = d.kind == DESCRIPTOR_SAME ? (int)d.same : placed[i];
		if (from >= 0 && dup2(from, (int)d.number) < 0)
			fail(STEP_DESCRIPTOR, errno, d.number << 3);
	}
}
