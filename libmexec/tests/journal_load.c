// Writes a journal from many processes and threads at once, and from children of vfork: `journal_load NAME BUILD PROCESSES RECORDS`. Each process
// writes so many; in each the command, the status and the usage follow from its process and its number, so that a reader sees a mixture of two.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../journal.h"

enum { THREADS = 4 };

static unsigned process;
static int each;

static void write_one(unsigned n)
{
	if (n % 2 == 0) {
		struct rusage usage = {.ru_utime = {process, n}, .ru_stime = {n, process}, .ru_maxrss = n};
		note_reaped(process, n, &usage);
		return;
	}
	char digits[] = "0123456789", number[16], filler[200];
	snprintf(number, sizeof(number), "%u.%u", process, n);
	memset(filler, digits[n % 10], sizeof(filler));
	filler[n % sizeof(filler)] = '\0';
	char *argv[] = {number, filler, NULL};
	note_kept(1 + n % 10, process, n, "path", argv);
}

static void *write_some(void *from)
{
	for (int n = (int)(long)from; n < each; n += THREADS)
		write_one(n);
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	setenv("MEXEC_JOURNAL", argv[1], 1);
	start_journal(argv[2], strlen(argv[2]));
	if (!has_journal())
		return 3;
	int processes = atoi(argv[3]), bad = 0;
	each = atoi(argv[4]);
	for (int i = 0; i < processes; i++) {
		process = i + 1;
		if (fork() == 0) {
			pthread_t threads[THREADS];
			for (long t = 1; t < THREADS; t++)
				pthread_create(&threads[t], NULL, write_some, (void *)t);
			for (int n = 0; n < each; n += THREADS)
				if (n % 64 != 0)
					write_one(n);
				else if (vfork() == 0) {
					write_one(n);
					_exit(0);
				}
			for (int t = 1; t < THREADS; t++)
				pthread_join(threads[t], NULL);
			while (wait(NULL) > 0)
				;
			_exit(0);
		}
	}
	for (int status; wait(&status) > 0;)
		bad |= status;
	return bad != 0;
}
