// Which file execvp(3) would execute.
#include "search.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

// execve goes by the effective ids and capabilities. access(2) goes by the real ones, and musl's faccessat forks to get around that.
static int may_execute(const char *path)
{
	if (syscall(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return 0;
	if (errno != ENOSYS && errno != EPERM) // EPERM: a sandbox that is older than the call
		return errno;
	return access(path, X_OK) == 0 ? 0 : errno;
}

int probe(const char *path, struct stat *st)
{
	if (stat(path, st) != 0)
		return errno;
	if (!S_ISREG(st->st_mode))
		return EACCES;
	return may_execute(path);
}

// The errors that only say "not in this directory".
static bool goes_on(int err)
{
	return err == ENOENT || err == ENOTDIR || err == ESTALE || err == ENODEV || err == ETIMEDOUT;
}

int search(const char *file, const char *path_list, prober *ask, char room[PATH_MAX], const char **found, struct stat *st)
{
	*found = file;
	if (*file == '\0')
		return ENOENT;
	if (strchr(file, '/') != NULL)
		return probe(file, st);
	size_t length = strlen(file);
	if (length > NAME_MAX)
		return ENAMETOOLONG;
	if (path_list == NULL)
		path_list = "/bin:/usr/bin";

	int denied = 0;
	for (const char *dir = path_list;; dir++) {
		size_t n = strcspn(dir, ":");
		if (n + 1 + length < PATH_MAX) {
			memcpy(room, dir, n);
			char *at = room + n;
			if (n > 0) // an empty element is the working directory
				*at++ = '/';
			memcpy(at, file, length + 1);
			int err = ask(room, st);
			if (err == 0) {
				*found = room;
				return 0;
			}
			if (err == EACCES)
				denied = EACCES;
			else if (!goes_on(err))
				return err;
		}
		dir += n;
		if (*dir == '\0')
			return denied ? denied : ENOENT;
	}
}
