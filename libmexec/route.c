// Which of a driver's spawns go behind the stub. A driver is a make, the tool that mprun has started, or a program that its policy calls one.
//
// Left alone, so that they stay on this node: other drivers, and the shell lines that start them (what they start spreads), $(shell), what the
// policy says, what is known to take less time than sending it, and whatever the kernel would refuse, so that the driver gets the kernel's own errno and says what it always says.
//
// A driver that we can't be loaded into, static or Go's, is to be traced instead. The drivers above it see to that, and so does any other process that has us: a shell
// whose line was kept since it starts a driver. Of what such a process starts, nothing else is looked at.
#include "route.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "handed.h"
#include "kind.h"
#include "policy.h"
#include "search.h"
#include "sure.h"

// Written by start_routing only. A stub of no length: this process is not below a driver of ours.
static char stub[PATH_MAX];
static bool leads; // it is no driver itself
static bool tool; // it is what mprun has started
static char policy[LONGEST_POLICY]; // empty: there is none, as under mpmake
static char own_name[NAME_MAX + 1]; // of a make; else empty
static struct stat own_output; // descriptor 1; zeroes where it is closed
static pid_t own_pid;

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash != NULL ? slash + 1 : path;
}

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static bool is_make_name(const char *name)
{
	size_t n = strlen(name);
	return strcmp(name, "make") == 0 || strcmp(name, "gmake") == 0 || begins(name, "make-") || begins(name, "gmake-") ||
	       (n > 5 && strcmp(name + n - 5, "_make") == 0);
}

// Programs that choose nodes themselves.
static bool is_ours(const char *name)
{
	return strcmp(name, "mpmake") == 0 || strcmp(name, "mprun") == 0 || strcmp(name, "mexec") == 0 ||
	       strcmp(name, "mexecvp") == 0;
}

// Of an odd call with more arguments, or longer ones, the first count.
enum { ARGUMENTS = 256, ARGUMENTS_LENGTH = 8 << 10 };

// The name that this program was executed by: a script's own, where the program is its interpreter. A library's constructor is given no arguments by
// every C library, and these are the kernel's own.
static bool is_driver_by_name(void)
{
	const char *executed = (const char *)getauxval(AT_EXECFN);
	if (executed == NULL || policy[0] == '\0')
		return false;
	char text[ARGUMENTS_LENGTH], *list[ARGUMENTS];
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC), n = 0;
	ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[length > 0 ? length : 0] = '\0';
	for (char *at = text; at < text + length && n < ARGUMENTS - 1; at += strlen(at) + 1)
		if (at > text)
			list[n++] = at;
	list[n] = NULL;
	const char *name = base_name(executed);
	return find_rule(policy, name, strlen(name), (struct arguments){.list = list}) == '@';
}

// MEXEC_DRIVER=BUILD:STUB:FALLBACK
void start_routing(void)
{
	const char *driver = getenv("MEXEC_DRIVER");
	const char *from = driver != NULL ? strchr(driver, ':') : NULL;
	if (from == NULL || *++from != '/')
		return;
	size_t length = strcspn(from, ":");
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n <= 0 || length >= sizeof(stub))
		return;
	exe[n] = '\0';
	const char *name = base_name(exe);
	if (is_ours(name)) // the stub, where it isn't static
		return;
	const char *rules = getenv("MEXEC_POLICY");
	if (rules != NULL && strlen(rules) < sizeof(policy))
		strcpy(policy, rules);
	tool = is_tool(policy);
	if (is_make_name(name) && strlen(name) < sizeof(own_name)) {
		strcpy(own_name, name);
	} else if (!tool && !is_driver_by_name()) {
		leads = true;
		memcpy(stub, from, length);
		return;
	}
	remember_handed();
	fstat(1, &own_output);
	own_pid = getpid();
	start_journal(driver, from - 1 - driver);
	memcpy(stub, from, length);
}

bool is_make(void)
{
	return stub[0] != '\0' && own_name[0] != '\0' && getpid() == own_pid;
}

static const char *variable(char *const envp[], const char *prefix)
{
	for (; *envp != NULL; envp++)
		if (begins(*envp, prefix))
			return *envp + strlen(prefix);
	return NULL;
}

// The read end of the jobserver's pipe in MAKEFLAGS; the last word on it counts. False: there is none, or it is a fifo.
static bool jobserver_pipe(const char *flags, int *fd)
{
	static const char *const options[] = {"--jobserver-auth=", "--jobserver-fds="}; // make 4.2 and later, and before
	bool found = false;
	while (flags != NULL) {
		flags += strspn(flags, " ");
		if (begins(flags, "-- ")) // variables follow: anybody's text
			break;
		for (int i = 0; i < 2; i++)
			if (begins(flags, options[i])) {
				const char *value = flags + strlen(options[i]);
				char *end;
				long n = strtol(value, &end, 10);
				found = end > value && *end == ',' && n >= INT_MIN && n <= INT_MAX;
				*fd = n;
			}
		flags = strchr(flags, ' ');
	}
	return found;
}

static bool is_word(const char *word, size_t length, const char *name)
{
	return strlen(name) == length && memcmp(word, name, length) == 0;
}

static bool is_any_make(const char *word, size_t length)
{
	return is_word(word, length, own_name) || is_word(word, length, "make") || is_word(word, length, "gmake") ||
	       is_word(word, length, "mpmake");
}

// Makes count only where a make does not say itself.
static bool line_mentions(char sign, const char *line, bool makes)
{
	static const char ends[] = " \t\n;&|(){}<>`'\"=$/";
	for (const char *at = line; *at != '\0';) {
		size_t length = strcspn(at, ends);
		bool directory = at[length] == '/';
		if (length > 0 && !directory &&
		    ((makes && is_any_make(at, length)) ||
		     find_rule(policy, at, length, (struct arguments){.line = at + length}) == sign))
			return true;
		at += length;
		at += strspn(at, ends);
	}
	return false;
}

// Whether a shell's command line has a word in it for which there is such a rule: @ is a driver. Behind the line there may be its arguments: they
// are looked at too, as "$@" may be one.
static bool mentions(char sign, const char *path, char *const argv[], size_t argc, bool makes)
{
	const char *name = base_name(path);
	size_t n = strlen(name);
	if (n < 2 || strcmp(name + n - 2, "sh") != 0)
		return false;
	for (size_t i = 2; i < argc; i++) {
		const char *word = base_name(argv[i]);
		if (line_mentions(sign, argv[i], makes) ||
		    find_rule(policy, word, strlen(word), (struct arguments){.list = argv + i + 1}) == sign)
			return true;
	}
	return false;
}

// make leaves the jobserver's pipe open across execve for a recursive line, and for no other. Only make knows which lines these
// are ($(MAKE) before expansion, or a +), and MAKEFLAGS names the descriptors on all of them.
static bool is_recursive(const char *path, char *const argv[], size_t argc, char *const envp[])
{
	int fd;
	if (own_name[0] != '\0' && jobserver_pipe(variable(envp, "MAKEFLAGS="), &fd)) {
		if (fd < 0) // make 4.4 disables it so for a line that is not recursive
			return mentions('@', path, argv, argc, false);
		int flags = fcntl(fd, F_GETFD);
		if (flags >= 0)
			return !(flags & FD_CLOEXEC) || mentions('@', path, argv, argc, false);
	}
	return mentions('@', path, argv, argc, true);
}

// A rule is for the program, or for the first word of a shell's line that is one command.
static enum kept by_policy(const char *name, char *const argv[], bool *bare)
{
	if (policy[0] == '\0')
		return KEPT_NOT;
	size_t length = strlen(name);
	char sign = find_rule(policy, name, length, (struct arguments){.list = argv != NULL && argv[0] != NULL ? argv + 1 : NULL});
	if (sign == 0 && length >= 2 && strcmp(name + length - 2, "sh") == 0 && argv != NULL && argv[0] != NULL && argv[1] != NULL &&
	    strcmp(argv[1], "-c") == 0 && argv[2] != NULL && argv[2][strcspn(argv[2], ";&|()`\n")] == '\0') {
		const char *word = argv[2] + strspn(argv[2], " \t");
		length = strcspn(word, " \t<>");
		for (const char *slash; (slash = memchr(word, '/', length)) != NULL; word = slash + 1)
			length -= slash + 1 - word;
		sign = find_rule(policy, word, length, (struct arguments){.line = word + length});
	}
	*bare = sign == '.';
	return sign == '-' || sign == '.' ? KEPT_POLICY : sign == '@' ? KEPT_DRIVES : KEPT_NOT;
}

// Of what goes to named nodes, or is to have another environment there, and of what a file calls travel, nothing is kept for being short. No rule of our own is a +.
static bool is_short(uint64_t kind, const char *path, const char *name, char *const argv[], size_t argc, char *const envp[])
{
	if (!is_brief(kind))
		return false;
	const char *nodes = variable(envp, "NODES="), *setter = variable(envp, "ENVSETTER=");
	if ((nodes != NULL && *nodes != '\0') || (setter != NULL && *setter != '\0'))
		return false;
	return policy[0] == '\0' || (find_rule(policy, name, strlen(name), (struct arguments){.list = argv + 1}) != '+' && !mentions('+', path, argv, argc, false));
}

// What can be told without the program's file. A program that is offered by its own name (mexec) is not kept.
static bool may_travel(const char *file, char *const argv[], char *const envp[], bool in_place, struct way *way)
{
	*way = (struct way){.why = KEPT_NOT};
	if (stub[0] == '\0' || file == NULL)
		return false;
	const char *name = base_name(file);
	if (is_make_name(name))
		way->why = KEPT_MAKE;
	else if (is_ours(name))
		way->why = begins(name, "mexec") ? KEPT_NOT : KEPT_OURS;
	else if ((way->why = by_policy(name, argv, &way->bare)) == KEPT_NOT && !sure_arguments(argv, envp, &way->argc))
		way->why = KEPT_TOO_LONG;
	else if (way->why == KEPT_NOT) {
		way->kind = !leads && !in_place && has_journal() ? kind_of(file, argv) : 0;
		if (is_recursive(file, argv, way->argc, envp))
			way->why = KEPT_RECURSIVE;
		else if (is_short(way->kind, file, name, argv, way->argc, envp))
			way->why = KEPT_SHORT, way->bare = true;
		else if (in_place && tool) // it is the tool from then on
			way->why = KEPT_DRIVES;
		else
			return !leads && !in_place;
	}
	return false;
}

// Whether what stays is a driver that we can't be loaded into. Of what a set-user-ID program starts nothing travels, but that is said.
static bool escapes(struct way *way, const char *path, const struct stat *st, char *const argv[], char *const envp[])
{
	bool alone;
	return is_driver(way->why) && way->why != KEPT_OURS && sure_arguments(argv, envp, &way->argc) &&
	       sure_program(path, st, argv, envp, NULL, &alone) && (alone || ((st->st_mode & S_ISUID) && st->st_uid != getuid()));
}

// What only the file tells. found: 0, or the errno that the kernel would give.
static void look(struct way *way, int found, const char *path, const struct stat *st, char *const argv[], char *const envp[])
{
	char interpreter[LONGEST_INTERPRETER];
	if (found != 0)
		way->why = KEPT_REFUSED;
	else if (!sure_program(path, st, argv, envp, interpreter, NULL))
		way->why = KEPT_UNSURE;
	else if (is_make_name(base_name(interpreter))) // a makefile that is executed, as debian/rules
		way->why = KEPT_MAKE;
	else
		way->stub = stub;
}

static struct way decide(const char *file, char *const argv[], char *const envp[], bool in_place, char *room, const char **path)
{
	int saved = errno;
	struct stat st;
	struct way way;
	bool travels = may_travel(file, argv, envp, in_place, &way);
	if (travels || is_driver(way.why)) {
		int found = room != NULL ? search(file, getenv("PATH"), probe, room, path, &st) : probe(file, &st);
		if (travels)
			look(&way, found, *path, &st, argv, envp);
		if (found == 0 && escapes(&way, *path, &st, argv, envp))
			way.traced = stub;
	}
	if (leads || in_place) // nobody is told of what stays
		way.why = KEPT_NOT, way.bare = false;
	errno = saved;
	return way;
}

struct way route(const char *path, char *const argv[], char *const envp[], bool in_place)
{
	return decide(path, argv, envp, in_place, NULL, &path);
}

struct way route_along(const char *file, char *const argv[], char *const envp[], bool in_place, char *room, const char **path)
{
	return decide(file, argv, envp, in_place, room, path);
}

// Written by the make itself, and not by a child of vfork: actions are made before.
static const void *captured;

void note_output(const void *actions, int fd)
{
	struct stat st;
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode))
		captured = actions;
	else if (captured == actions)
		captured = NULL;
}

bool is_shell_function(const void *actions, struct way *way)
{
	*way = (struct way){.why = KEPT_FUNCTION};
	return own_name[0] != '\0' && actions != NULL && actions == captured;
}

static bool directories; // written as captured is

void note_directories(void)
{
	directories = true;
}

static bool is_relative(const char *file, bool along)
{
	if (!along || strchr(file, '/') != NULL)
		return *file != '/';
	const char *dir = getenv("PATH");
	for (; dir != NULL && *dir == '/'; dir++)
		if (*(dir += strcspn(dir, ":")) == '\0')
			return false;
	return dir != NULL; // an empty element is the working directory
}

void stay_if_elsewhere(struct way *way, const void *actions, const char *file, bool along)
{
	if (!directories || actions == NULL || (way->stub == NULL && way->traced == NULL) || !is_relative(file, along))
		return;
	if (way->stub != NULL)
		way->why = KEPT_UNSURE;
	way->stub = way->traced = NULL;
}

bool is_captured(const struct stat *output)
{
	return S_ISFIFO(output->st_mode) && (output->st_ino != own_output.st_ino || output->st_dev != own_output.st_dev);
}

bool executes_here(struct way *way)
{
	*way = (struct way){.why = KEPT_FUNCTION};
	if (own_name[0] == '\0')
		return false;
	int saved = errno;
	struct stat st;
	bool pipe = fstat(1, &st) == 0 && is_captured(&st);
	errno = saved;
	return pipe;
}

bool takes_place(void) // as env(1), or a wrapper of the tool, does
{
	return own_name[0] == '\0' && getpid() == own_pid;
}
