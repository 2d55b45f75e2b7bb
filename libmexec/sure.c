// The kernel's own conditions, in its order: fs/exec.c, fs/binfmt_elf.c and fs/binfmt_script.c.
#include "sure.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "search.h"

#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000 // Linux 6.14
#endif
#ifndef SYS_execveat
#define SYS_execveat (-1)
#endif

enum {
	ARGUMENTS = 64 << 10,    // more than this would be too much for a borrowed stack
	STRING = 128 << 10,      // MAX_ARG_STRLEN, the NUL included
	ALWAYS = 128 << 10,      // the room for arguments that the kernel never refuses
	AT_MOST = 6 << 20,       // and the one that it never exceeds
	ADDED = 16 << 10,        // the stub's arguments, its and the program's pathnames, the first lines of scripts
	FIRST_LINE = LONGEST_INTERPRETER,
	SCRIPTS = 5,             // that may call each other
	HEAD = 1024,             // usually holds an ELF file's headers and the name of its loader
	SETTLED = 60,            // seconds
	NOTES = 1024,            // bytes of them that are looked at
};

// The kernel's room is a quarter of the stack's limit, within bounds. One system call less for all that are within the lower one.
static bool fits(size_t bytes)
{
	if (bytes <= ALWAYS - ADDED)
		return true;
	struct rlimit stack;
	return bytes <= AT_MOST - ADDED && getrlimit(RLIMIT_STACK, &stack) == 0 &&
	       (stack.rlim_cur == RLIM_INFINITY || bytes + ADDED <= stack.rlim_cur / 4);
}

static bool add_strings(char *const list[], size_t at_most, size_t *count, size_t *bytes)
{
	size_t n = 0;
	for (; list[n] != NULL; n++) {
		size_t length = strnlen(list[n], STRING);
		if (length == STRING || n == at_most)
			return false;
		*bytes += length + 1 + sizeof(*list);
	}
	*count = n;
	return true;
}

bool sure_arguments(char *const argv[], char *const envp[], size_t *argc)
{
	size_t bytes = 0, envc;
	return argv != NULL && envp != NULL && argv[0] != NULL && add_strings(argv, ARGUMENTS, argc, &bytes) &&
	       add_strings(envp, AT_MOST, &envc, &bytes) && fits(bytes);
}

// The kernel knows things of a file that can't be seen from here: that somebody has it open for writing (ETXTBSY), or what a security
// module thinks of it. Asking it costs more than all else here together, and a file that is being written has mostly changed of late,
// so old ones pass. Where it can't be asked, such a file fails behind the stub. A lease would tell of writers too, but breaking it
// sends a signal. The real arguments: valgrind does not know the flag, and executes the file.
static bool kernel_agrees(const char *path, const struct stat *st, char *const argv[], char *const envp[])
{
	if (st->st_ctime + SETTLED < time(NULL))
		return true;
	return syscall(SYS_execveat, AT_FDCWD, path, argv, envp, AT_EXECVE_CHECK) == 0 || errno == EINVAL || errno == ENOSYS;
}

struct file {
	int fd;
	size_t length; // of head
	char head[HEAD];
};

static bool read_at(const struct file *f, void *to, size_t n, uint64_t at)
{
	if (at <= f->length && n <= f->length - at) {
		memcpy(to, f->head + at, n);
		return true;
	}
	return at <= INT_MAX && pread(f->fd, to, n, at) == (ssize_t)n;
}

extern const ElfW(Ehdr) __ehdr_start __attribute__((weak, visibility("hidden")));

// What runs us runs its like. Other machines' programs, and 32-bit ones, may or may not run here.
static bool is_native(const struct file *f, ElfW(Ehdr) * e)
{
	const ElfW(Ehdr) *own = &__ehdr_start;
	return own != NULL && read_at(f, e, sizeof(*e), 0) && memcmp(e->e_ident, own->e_ident, EI_VERSION) == 0 &&
	       e->e_machine == own->e_machine && (e->e_type == ET_EXEC || e->e_type == ET_DYN) &&
	       e->e_phentsize == sizeof(ElfW(Phdr)) && e->e_phnum > 0 && e->e_phnum <= 4096 / sizeof(ElfW(Phdr));
}

enum format { UNKNOWN, COMPLETE, LOADED, SCRIPT };

static uint64_t padded(uint32_t n)
{
	return (n + 3ull) & ~3ull;
}

// Go's linker leaves a note of its own, with whatever linker it works together.
static bool is_go(const struct file *f, const ElfW(Phdr) * p)
{
	ElfW(Nhdr) note;
	for (uint64_t at = 0; at < NOTES && at + sizeof(note) + 4 <= p->p_filesz; at += sizeof(note) + padded(note.n_namesz) + padded(note.n_descsz)) {
		char name[4];
		if (!read_at(f, &note, sizeof(note), p->p_offset + at) || !read_at(f, name, sizeof(name), p->p_offset + at + sizeof(note)))
			return false;
		if (note.n_namesz == sizeof(name) && memcmp(name, "Go\0", sizeof(name)) == 0)
			return true;
	}
	return false;
}

// A program is complete, or names its loader.
static enum format read_elf(const struct file *f, char next[FIRST_LINE], bool *go)
{
	ElfW(Ehdr) e;
	if (!is_native(f, &e))
		return UNKNOWN;
	enum format found = COMPLETE;
	for (int i = 0; i < e.e_phnum; i++) {
		ElfW(Phdr) p;
		if (!read_at(f, &p, sizeof(p), e.e_phoff + i * sizeof(p)))
			return UNKNOWN;
		if (p.p_type == PT_NOTE && go != NULL)
			*go = *go || is_go(f, &p);
		if (p.p_type != PT_INTERP || found == LOADED)
			continue;
		if (p.p_filesz < 2 || p.p_filesz > FIRST_LINE || !read_at(f, next, p.p_filesz, p.p_offset) || next[p.p_filesz - 1] != '\0')
			return UNKNOWN;
		found = LOADED;
	}
	return found;
}

// A script names its interpreter. A first line that does not end within the kernel's buffer is doubtful, and so is one with a NUL.
static enum format read_script(const struct file *f, char next[FIRST_LINE])
{
	size_t n = f->length < FIRST_LINE ? f->length : FIRST_LINE;
	const char *end = memchr(f->head, '\n', n), *from = f->head + 2;
	if (end == NULL || memchr(from, '\0', end - from) != NULL)
		return UNKNOWN;
	from += strspn(from, " \t");
	size_t length = strcspn(from, " \t\n");
	if (length == 0)
		return UNKNOWN;
	memcpy(next, from, length);
	next[length] = '\0';
	return SCRIPT;
}

static bool open_file(struct file *f, const char *path)
{
	// Regular files only have got here; but they can be replaced, and opening a fifo would wait.
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = f->fd < 0 ? -1 : pread(f->fd, f->head, sizeof(f->head), 0);
	f->length = n > 0 ? n : 0;
	return f->fd >= 0;
}

static enum format read_format(const char *path, char next[FIRST_LINE], bool *go)
{
	struct file f;
	enum format found = UNKNOWN;
	if (!open_file(&f, path))
		return UNKNOWN;
	if (f.length >= 2 && memcmp(f.head, "#!", 2) == 0)
		found = read_script(&f, next);
	else
		found = read_elf(&f, next, go);
	close(f.fd);
	return found;
}

static bool is_loader(const char *path)
{
	struct stat st;
	struct file f;
	ElfW(Ehdr) e;
	if (probe(path, &st) != 0 || !open_file(&f, path))
		return false;
	bool native = is_native(&f, &e);
	close(f.fd);
	return native;
}

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

// By some names each process knows another file: to the stub /proc/self/exe is the stub, and /dev/fd/3 is nothing where 3 is closed on exec.
static bool is_anyones(const char *path)
{
	return !begins(path, "/dev/fd/") && (!begins(path, "/proc/") || begins(path, "/proc/self/cwd/") || begins(path, "/proc/self/root/"));
}

bool sure_program(const char *path, const struct stat *st, char *const argv[], char *const envp[], char *interpreter, bool *escapes)
{
	char next[FIRST_LINE];
	struct stat its;
	if (interpreter != NULL)
		interpreter[0] = '\0';
	if (escapes != NULL)
		*escapes = false;
	for (int scripts = 0; is_anyones(path) && kernel_agrees(path, st, argv, envp); scripts++) {
		switch (read_format(path, next, escapes)) {
		case COMPLETE:
			if (escapes != NULL)
				*escapes = true;
			return true;
		case LOADED:
			return is_loader(next);
		case SCRIPT:
			if (scripts == SCRIPTS || probe(next, &its) != 0)
				return false;
			if (scripts == 0 && interpreter != NULL)
				strcpy(interpreter, next);
			path = next;
			st = &its;
			break;
		case UNKNOWN:
			return false;
		}
	}
	return false;
}

int probe_through(const char *path, struct stat *st)
{
	char next[FIRST_LINE];
	struct stat its;
	int err = probe(path, st);
	enum format format = SCRIPT;
	for (int scripts = 0; err == 0 && format == SCRIPT && scripts <= SCRIPTS; scripts++, path = next) {
		format = read_format(path, next, NULL);
		if (format == SCRIPT || format == LOADED)
			err = probe(next, &its);
	}
	return err;
}
