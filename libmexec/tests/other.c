// Somebody else's library in LD_PRELOAD, behind ours, that stands in front of execvp and nothing else. It adds a line to the file "hooked".
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

int execvp(const char *file, char *const argv[])
{
	int (*real)(const char *, char *const[]);
	*(void **)&real = dlsym(RTLD_NEXT, "execvp");
	int fd = open("hooked", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (write(fd, "execvp\n", 7) != 7)
		return -1;
	close(fd);
	return real(file, argv);
}
