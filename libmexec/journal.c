#include "journal.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#define F_SEAL_SHRINK 2
#endif

static const uint64_t busy = 1ull << JOURNAL_BUSY, taken_back = 1ull << JOURNAL_TAKEN_BACK;

// Written by start_journal only; NULL: there is none.
static struct journal_head *head;
static struct journal_record *records;
static struct journal_tables *tables;

static bool is_journal(const struct journal_head *h, const char *build, size_t length)
{
	return h->magic == JOURNAL_MAGIC && h->version == JOURNAL_VERSION && h->record_len == sizeof(struct journal_record) &&
	       h->records == JOURNAL_RECORDS && length < JOURNAL_BUILD && memcmp(h->build, build, length) == 0 && h->build[length] == '\0';
}

bool has_journal(void)
{
	return head != NULL;
}

int64_t journal_now(void)
{
	struct timespec now = {0};
	if (head != NULL)
		clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

bool is_brief(uint64_t kind)
{
	if (head == NULL || kind == 0)
		return false;
	const uint64_t *row = tables->brief[kind % JOURNAL_SHORT].kinds;
	for (int i = 0; i < JOURNAL_ROW; i++)
		if (__atomic_load_n(&row[i], __ATOMIC_RELAXED) == kind)
			return true;
	return false;
}

void note_started(pid_t pid, uint64_t kind, bool stayed, int64_t at)
{
	if (head == NULL || kind == 0)
		return;
	struct journal_started *s = &tables->started[pid % JOURNAL_STARTED];
	uint64_t who = (uint32_t)pid | (stayed ? JOURNAL_STAYED : 0);
	__atomic_store_n(&s->pid, who, __ATOMIC_RELAXED);
	__atomic_store_n(&s->kind, kind, __ATOMIC_RELAXED);
	__atomic_store_n(&s->at, at, __ATOMIC_RELAXED);
	__atomic_store_n(&s->check, who ^ kind ^ (uint64_t)at, __ATOMIC_RELAXED);
}

// A record is the writer's from claim to commit. One that somebody else is still writing, a whole ring later, is not waited for: the
// reader will miss a number and count it.
static struct journal_record *claim(uint64_t *mark)
{
	uint64_t n = __atomic_fetch_add(&head->next, 1, __ATOMIC_RELAXED);
	struct journal_record *r = &records[n % JOURNAL_RECORDS];
	uint64_t old = __atomic_load_n(&r->mark, __ATOMIC_RELAXED);
	*mark = n + 1;
	if ((old & busy) || (old & ~taken_back) > n ||
	    !__atomic_compare_exchange_n(&r->mark, &old, *mark | busy, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return NULL;
	__atomic_thread_fence(__ATOMIC_RELEASE); // nobody takes what follows for the old record
	r->at = journal_now();
	return r;
}

static void commit(struct journal_record *r, uint64_t mark)
{
	__atomic_store_n(&r->mark, mark, __ATOMIC_RELEASE);
}

// One blank between words. A cut word is cut anywhere: whoever shows it knows of UTF-8.
static void write_command(char *to, const char *path, char *const argv[])
{
	char *at = to, *end = to + JOURNAL_COMMAND - 1;
	char *const only[] = {(char *)path, NULL};
	if (argv == NULL || argv[0] == NULL)
		argv = only;
	for (int i = 0; argv[i] != NULL && at < end; i++) {
		if (i > 0)
			*at++ = ' ';
		size_t n = strnlen(argv[i], end - at);
		memcpy(at, argv[i], n);
		at += n;
	}
	memset(at, 0, to + JOURNAL_COMMAND - at);
}

uint64_t note_kept(enum kept why, pid_t pid, pid_t by, const char *path, char *const argv[])
{
	if (head == NULL || why == KEPT_NOT)
		return 0;
	uint64_t mark;
	struct journal_record *r = claim(&mark);
	if (r == NULL)
		return 0;
	r->kind = JOURNAL_KEPT;
	r->detail = why;
	r->pid = pid;
	r->by = by;
	write_command(r->command, path, argv);
	commit(r, mark);
	return mark;
}

void take_back(uint64_t ticket)
{
	if (ticket == 0)
		return;
	uint64_t old = ticket;
	__atomic_compare_exchange_n(&records[(ticket - 1) % JOURNAL_RECORDS].mark, &old, ticket | taken_back, false, __ATOMIC_RELAXED,
				    __ATOMIC_RELAXED);
}

static uint64_t microseconds(struct timeval t)
{
	return t.tv_sec * 1000000ull + t.tv_usec;
}

void note_reaped(pid_t pid, int status, const struct rusage *usage)
{
	uint64_t mark;
	struct journal_record *r = head != NULL ? claim(&mark) : NULL;
	if (r == NULL)
		return;
	r->kind = JOURNAL_REAPED;
	r->detail = status;
	r->pid = pid;
	r->by = getpid();
	r->usage.user_us = microseconds(usage->ru_utime);
	r->usage.system_us = microseconds(usage->ru_stime);
	r->usage.maxrss_kib = usage->ru_maxrss;
	commit(r, mark);
}

// In a copy that fork has made. vfork's and posix_spawn's children wait for nobody, and get none.
static void note_forked(void)
{
	uint64_t mark;
	struct journal_record *r = claim(&mark);
	if (r == NULL)
		return;
	r->kind = JOURNAL_FORKED;
	r->pid = getpid();
	r->by = getppid();
	commit(r, mark);
}

// A program of musl's that inherits LD_PRELOAD on a machine of glibc's loads us: its loader takes its own C library for the one that we name. All that we
// call is there but what is behind glibc's pthread_atfork, which is linked into whoever calls it. It would not start for want of that.
#ifdef __GLIBC__
int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *) __attribute__((weak));
extern void *__dso_handle;

static void call_in_copies(void (*child)(void))
{
	if (__register_atfork != NULL) {
		__register_atfork(NULL, NULL, child, __dso_handle);
		return;
	}
	int (*theirs)(void (*)(void), void (*)(void), void (*)(void)) = NULL;
	*(void **)&theirs = dlsym(RTLD_DEFAULT, "pthread_atfork");
	if (theirs != NULL)
		theirs(NULL, NULL, child);
}
#else
static void call_in_copies(void (*child)(void))
{
	pthread_atfork(NULL, NULL, child);
}
#endif

static pid_t parent_of(pid_t pid)
{
	char name[32], text[512];
	snprintf(name, sizeof(name), "/proc/%d/stat", pid);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	const char *end = strrchr(text, ')'); // of its name, which is any text
	return end != NULL && strlen(end) > 4 ? strtol(end + 4, NULL, 10) : 0;
}

// Between two drivers are shells and the like, of which we hear nothing.
static void note_begun(void)
{
	uint32_t above[JOURNAL_ABOVE] = {getppid()};
	for (int i = 0; i + 1 < JOURNAL_ABOVE && above[i] > 1 && above[i] != head->owner; i++)
		above[i + 1] = parent_of(above[i]);
	uint64_t mark;
	struct journal_record *r = claim(&mark);
	if (r == NULL)
		return;
	r->kind = JOURNAL_BEGUN;
	r->pid = getpid();
	r->by = above[0];
	memcpy(r->above, above, sizeof(above));
	commit(r, mark);
}

// The name is one in /proc: where its process is gone, it can be anything of anybody's. What nobody can cut short is memory that
// never faults, whatever happens to mpmake.
void start_journal(const char *build, size_t length)
{
	const char *name = getenv("MEXEC_JOURNAL");
	struct stat st;
	if (name == NULL || head != NULL || stat(name, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size != JOURNAL_SIZE)
		return;
	int fd = open(name, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return;
	void *memory = MAP_FAILED;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &st) == 0 && st.st_size == JOURNAL_SIZE)
		memory = mmap(NULL, JOURNAL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (memory == MAP_FAILED)
		return;
	if (!is_journal(memory, build, length)) {
		munmap(memory, JOURNAL_SIZE);
		return;
	}
	head = memory;
	records = (struct journal_record *)(head + 1);
	tables = (struct journal_tables *)(records + JOURNAL_RECORDS);
	note_begun();
	call_in_copies(note_forked);
}

