// libmexec, in programs that are linked with it in each way that there is.
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

// run starts one linked program with stub as MEXEC_STUB, and returns its wait status; "out" and "err" hold what it said.
static int run(const char *program, char *const argv[], const char *stub, const char *path)
{
	pid_t pid = fork();
	if (pid == 0) {
		char named[4200], sock[4200], list[4200], cwd[4096];
		CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
		snprintf(named, sizeof(named), "MEXEC_STUB=%s", stub);
		snprintf(sock, sizeof(sock), "MEXEC_SOCKET=%s/sock", cwd);
		snprintf(list, sizeof(list), "PATH=%s", path);
		unlink("out");
		unlink("err");
		redirect("out", 1);
		redirect("err", 2);
		// The kernel writes into glibc's rseq area whenever it likes.
		execve(program, argv, LIST("LC_ALL=C", "GLIBC_TUNABLES=glibc.pthread.rseq=0", named, sock, list));
		_exit(99);
	}
	return ended(pid);
}

#define EACH_PROGRAM(program)                                                                                                      \
	for (char *list_ = strdup(family_paths), *program; (program = strsep(&list_, ":")) != NULL;)                               \
		if (*program != '\0')

static int lines(const char *text, const char *with)
{
	int n = 0;
	for (const char *at = text; (at = strstr(at, with)) != NULL; at++)
		n++;
	return n;
}

TEST(each_function_goes_through_the_stub_and_leaves_no_trace)
{
	serve_here("sock", "log");
	EACH_PROGRAM(program)
	{
		CHECK(truncate("log", 0) == 0 || errno == ENOENT);
		SAME(run(program, LIST("family", "ways", "exit 5"), stub_path, "/usr/bin:/bin"), 0);
		SAME_TEXT(contents("err"), "");
		SAME(lines(contents("log"), "/sh [sh] [-c] [exit 5] [m"), 8);
		SAME(lines(contents("log"), "/sh [sh] [-c] [exit 5] [execvme]"), 1);
		SAME(lines(contents("log"), "\n"), 9);
	}
}

TEST(a_library_without_its_stub_is_as_if_it_were_not_there)
{
	file("broken", "text", 0700);
	char cwd[4096], broken[4200];
	CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
	snprintf(broken, sizeof(broken), "%s/broken", cwd);
	EACH_PROGRAM(program)
	{
		SAME(run(program, LIST("family", "ways", "echo ran; exit 5"), broken, "/usr/bin:/bin"), 0);
		SAME(lines(contents("out"), "ran"), 9);
		SAME(run(program, LIST("family", "ways", "echo ran; exit 5"), "/nosuchstub", "/usr/bin:/bin"), 0);
		SAME(lines(contents("out"), "ran"), 9);
	}
}

TEST(a_signal_handler_on_a_small_stack_may_execute)
{
	serve_here("sock", "log");
	EACH_PROGRAM(program)
	{
		SAME(run(program, LIST("family", "handler", "exit 7"), stub_path, "/usr/bin:/bin"), 7 << 8);
		SAME_TEXT(contents("err"), "");
		CHECK(lines(contents("log"), "/bin/sh [sh] [-c] [exit 7]") > 0);
	}
}

// edited copies /bin/true, with its bytes at a place in one header changed.
static void edited(const char *name, void (*edit)(char *bytes, ElfW(Ehdr) *), size_t length)
{
	static char bytes[1 << 20];
	int from = open("/bin/true", O_RDONLY), to = open(name, O_WRONLY | O_CREAT, 0700);
	ssize_t n = read(from, bytes, sizeof(bytes));
	CHECK(n > 4096 && n < (ssize_t)sizeof(bytes));
	edit(bytes, (ElfW(Ehdr) *)bytes);
	if (length > 0)
		n = length;
	CHECK(to >= 0 && write(to, bytes, n) == n);
	close(from);
	close(to);
}

static char *loader(char *bytes, ElfW(Ehdr) * e)
{
	for (ElfW(Phdr) *p = (ElfW(Phdr) *)(bytes + e->e_phoff);; p++)
		if (p->p_type == PT_INTERP)
			return bytes + p->p_offset;
}

static void nothing(char *bytes, ElfW(Ehdr) * e)
{
	(void)bytes, (void)e;
}

static void no_loader(char *bytes, ElfW(Ehdr) * e)
{
	memset(loader(bytes, e) + 1, 'x', 3);
}

static void text_loader(char *bytes, ElfW(Ehdr) * e)
{
	strcpy(loader(bytes, e), "./text");
}

static void foreign(char *bytes, ElfW(Ehdr) * e)
{
	(void)bytes;
	e->e_machine = EM_68K;
}

static void lay_out(void)
{
	file("plain", "x", 0600);
	file("text", "exit 5\n", 0700);
	file("empty", "", 0700);
	file("busy", "#!/bin/sh\nexit 6\n", 0700);
	CHECK(symlink("loop", "loop") == 0 && symlink("none", "dangling") == 0 && mkfifo("fifo", 0700) == 0);
	file("no-interpreter", "#!/nosuch/sh\n", 0700);
	file("plain-interpreter", "#!./plain\n", 0700);
	file("directory-interpreter", "#!/usr\n", 0700);
	file("busy-interpreter", "#!./busy\n", 0700);
	file("nested1", "#!/bin/sh\nexit 7\n", 0700);
	for (int i = 2; i <= 6; i++) {
		char name[] = "nestedN", text[] = "#!./nestedN\n";
		name[6] = '0' + i;
		text[10] = '0' + i - 1;
		file(name, text, 0700);
	}
	file("with-argument", "#! \t/bin/sh -e\nfalse\nexit 9\n", 0700);
	file("self-interpreter", "#!/proc/self/exe\n", 0700);
	file("blank", "#!  \n", 0700);
	file("no-newline", "#!/bin/true", 0700);
	file("relative", "#!text\n", 0700);
	char line[400] = "#!/bin/true ";
	memset(line + strlen(line), 'x', 300);
	file("long-line", line, 0700);
	int fd = open("nul", O_WRONLY | O_CREAT, 0700);
	CHECK(write(fd, "#!/bin/true\0x\n", 14) == 14);
	close(fd);
	edited("unreadable", nothing, 0);
	CHECK(chmod("unreadable", 0111) == 0);
	edited("no-loader", no_loader, 0);
	edited("text-loader", text_loader, 0);
	edited("half", nothing, 100);
	edited("foreign", foreign, 0);

	CHECK(mkdir("bin1", 0700) == 0 && mkdir("bin2", 0700) == 0 && mkdir("bin1/directory", 0700) == 0 && mkdir("noexec", 0700) == 0);
	file("bin1/denied", "x", 0600);
	file("bin1/both", "x", 0600);
	file("bin2/both", "#!/bin/sh\nexit 8\n", 0700);
	file("bin1/textual", "test \"$*\" = 'a  c d' && exit 11\n", 0700);
	file("bin2/broken", "#!/nosuch/sh\n", 0700);
	file("bin2/empty", "", 0700);
}

TEST(every_outcome_is_that_of_the_function_without_m)
{
	lay_out();
	serve_here("sock", "log");
	bool mounted = geteuid() == 0 && mount("none", "noexec", "tmpfs", MS_NOEXEC, NULL) == 0; // else one more name that is not there
	if (mounted)
		edited("noexec/true", nothing, 0);
	int status = 0;
	EACH_PROGRAM(program)
	{
		status = run(program, LIST("family", "twins"), stub_path, "bin1:plain:bin2:nosuch:/usr/bin:/bin");
		if (status != 0)
			break;
	}
	if (mounted)
		umount2("noexec", MNT_DETACH);
	SAME(status, 0);
	const char *log = contents("log");
	CHECK(lines(log, "./nested5 [name] [a] [] [c d]") > 0); // not that all have run here
	CHECK(lines(log, "./with-argument [name]") > 0);
	CHECK(lines(log, "bin2/both [name]") > 0);
	CHECK(lines(log, "/true [") > 0);
	CHECK(lines(log, "/bin/sh [/bin/sh] [bin1/textual] [a]") > 0);
}


TEST(valgrind_finds_nothing_in_it)
{
	serve_here("sock", "log");
	EACH_PROGRAM(program)
	{
		if (strstr(program, "archive") == NULL) // it knows no static malloc, and ASan's programs know no valgrind
			continue;
		SAME(run("/usr/bin/valgrind", LIST("valgrind", "-q", "--error-exitcode=99", program, "blind", "exit 5"), stub_path, "/usr/bin:/bin"), 0);
		SAME(lines(contents("log"), "\n"), 9);
	}
}

TEST(a_set_user_id_program_does_not_start_its_callers_stub)
{
	if (geteuid() != 0) // nobody else can make one that is another user's
		return;
	file("evil", "#!/bin/sh\necho evil\n", 0755);
	CHECK(chmod(".", 0755) == 0);
	char cwd[4096], evil[4200], command[9000];
	CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
	snprintf(evil, sizeof(evil), "%s/evil", cwd);
	EACH_PROGRAM(program)
	{
		if (strstr(program, "static") == NULL) // the other user may not get at our libraries
			continue;
		snprintf(command, sizeof(command), "cp %s setuid && chmod 755 setuid", program);
		CHECK(system(command) == 0);
		run("./setuid", LIST("family", "ways", "exit 5"), evil, "/usr/bin:/bin");
		SAME(lines(contents("out"), "evil"), 9); // that is what must not happen
		CHECK(chown("setuid", 1, 1) == 0 && chmod("setuid", 04755) == 0);
		run("./setuid", LIST("family", "ways", "exit 5"), evil, "/usr/bin:/bin");
		SAME_TEXT(contents("out"), "");
	}
}
