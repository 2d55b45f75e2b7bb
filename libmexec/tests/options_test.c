// The command line, and what is not there to be run.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

static int run_here(char *const argv[])
{
	unlink("out");
	unlink("err");
	int status = ended(run_stub(argv, LIST("MEXEC_SOCKET=/nobody", "PATH=/none:/usr/bin:/bin"), NULL));
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void script(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, mode) == 0);
	close(fd);
}

TEST(an_unknown_option_is_one_line_and_status_2)
{
	SAME(run_here(LIST("mexec", "-x", "true")), 2);
	SAME_TEXT(contents("err"), "mexec: unknown option -x\n");
	SAME(run_here(LIST("mexec", "-vx", "true")), 2);
	SAME_TEXT(contents("err"), "mexec: unknown option -x\n");
	SAME(run_here(LIST("mexec", "--verbose", "true")), 2);
	SAME_TEXT(contents("err"), "mexec: unknown option --verbose\n");
	SAME(run_here(LIST("mexec", "--rerun=maybe", "true")), 2);
	SAME_TEXT(contents("err"), "mexec: not never, safe, slow or always: --rerun=maybe\n");
	SAME(run_here(LIST("mexec", "--rerun", "safe", "true")), 2);
	SAME_TEXT(contents("err"), "mexec: =MODE is missing after --rerun\n");
	SAME(run_here(LIST("mexec", "-n")), 2);
	SAME_TEXT(contents("err"), "mexec: a value is missing after -n\n");
	SAME(run_here(LIST("mexec")), 2);
	SAME_TEXT(contents("err"), "usage: mexec [options] CMD [ARG...]\n");
	SAME(run_here(LIST("mexec", "-v", "--")), 2);
}

TEST(options_end_where_the_command_begins)
{
	SAME(run_here(LIST("mexec", "echo", "-x", "--help")), 0);
	SAME_TEXT(contents("out"), "-x --help\n");
	SAME(run_here(LIST("mexec", "--", "echo", "--")), 0);
	SAME_TEXT(contents("out"), "--\n");
	SAME(run_here(LIST("mexec", "-pn1", "-a", "x", "--", "/bin/echo", "y")), 0);
	SAME_TEXT(contents("out"), "y\n");
}

TEST(help_and_version_go_to_stdout)
{
	SAME(run_here(LIST("mexec", "-h")), 0);
	CHECK(strncmp(contents("out"), "usage: mexec", 12) == 0 && strstr(contents("out"), "runs here.\n") != NULL);
	SAME(run_here(LIST("mexec", "--version")), 0);
	CHECK(strncmp(contents("out"), "mexec 0.", 8) == 0 || strncmp(contents("out"), "mexec ", 6) == 0);
	SAME_TEXT(contents("err"), "");
}

TEST(a_missing_program_is_127_and_a_refused_one_126)
{
	SAME(run_here(LIST("mexec", "no-such-program")), 127);
	SAME_TEXT(contents("err"), "mexec: no-such-program: No such file or directory\n");
	SAME(run_here(LIST("mexec", "")), 127);
	SAME(run_here(LIST("mexec", "./none")), 127);
	SAME(run_here(LIST("mexec", "-p", "echo")), 127);
	script("plain", "x", 0600);
	SAME(run_here(LIST("mexec", "./plain")), 126);
	SAME_TEXT(contents("err"), "mexec: ./plain: Permission denied\n");
	SAME(run_here(LIST("mexec", "/")), 126);
	SAME(run_here(LIST("mexec", "./plain/x")), 126);
	SAME_TEXT(contents("err"), "mexec: ./plain/x: Not a directory\n");
	char longest[300];
	memset(longest, 'x', 299);
	longest[299] = '\0';
	SAME(run_here(LIST("mexec", longest)), 126);
}

TEST(search_goes_on_behind_what_may_not_be_executed)
{
	CHECK(mkdir("a", 0700) == 0 && mkdir("b", 0700) == 0);
	script("a/tool", "#!/bin/sh\necho a\n", 0600);
	script("b/tool", "#!/bin/sh\necho b\n", 0700);
	script("here", "#!/bin/sh\necho here\n", 0700);
	char *const tool[] = {"mexec", "tool", NULL}, *const here[] = {"mexec", "here", NULL};
	SAME(ended(run_stub(tool, LIST("MEXEC_SOCKET=/nobody", "PATH=plain:a:b"), NULL)), 0);
	SAME_TEXT(contents("out"), "b\n");
	int status = ended(run_stub(tool, LIST("MEXEC_SOCKET=/nobody", "PATH=a:/none"), NULL));
	SAME(WEXITSTATUS(status), 126);
	SAME(ended(run_stub(here, LIST("MEXEC_SOCKET=/nobody", "PATH=/none:"), NULL)), 0);
	SAME(ended(run_stub(here, LIST("MEXEC_SOCKET=/nobody", "PATH=::/none"), NULL)), 0);
	SAME(ended(run_stub(LIST("mexec", "true"), LIST("MEXEC_SOCKET=/nobody"), NULL)), 0); // the default path
}

static void without_its_loader(const char *name)
{
	static char program[1 << 20];
	FILE *from = fopen("/bin/true", "r"), *to = fopen(name, "w");
	size_t n = fread(program, 1, sizeof(program), from);
	char *loader = memmem(program, n, "/ld-linux", 9);
	CHECK(loader != NULL);
	loader[1] = 'x';
	CHECK(fwrite(program, 1, n, to) == n && fclose(to) == 0 && chmod(name, 0700) == 0);
	fclose(from);
}

// As execvp, for which that is no program either.
TEST(search_goes_on_behind_a_program_whose_interpreter_is_missing)
{
	CHECK(mkdir("a", 0700) == 0 && mkdir("b", 0700) == 0);
	script("plain", "x", 0600);
	script("a/none", "#!/nosuch/sh\n", 0700);
	script("a/denied", "#!./plain -x\n", 0700);
	script("a/nested", "#!a/none\n", 0700);
	without_its_loader("a/loader");
	char *const names[] = {"none", "denied", "nested", "loader"};
	for (int i = 0; i < 4; i++) {
		char name[16];
		snprintf(name, sizeof(name), "b/%s", names[i]);
		script(name, "#!/bin/sh\necho b\n", 0700);
		unlink("out");
		char *const there[] = {"mexec", names[i], NULL};
		SAME(ended(run_stub(there, LIST("MEXEC_SOCKET=/nobody", "PATH=a:b"), NULL)), 0);
		SAME_TEXT(contents("out"), "b\n");
		SAME(WEXITSTATUS(ended(run_stub(there, LIST("MEXEC_SOCKET=/nobody", "PATH=a"), NULL))), i == 1 ? 126 : 127);
	}
}

TEST(a_file_the_kernel_does_not_know_is_a_shells_unless_it_is_a_pathname)
{
	script("plain", "echo $0 $1 $2\n", 0700);
	SAME(run_here(LIST("mexec", "./plain", "a", "b")), 0);
	SAME_TEXT(contents("out"), "./plain a b\n");
	SAME(run_here(LIST("mexec", "-p", "./plain")), 126);
	SAME_TEXT(contents("err"), "mexec: ./plain: Exec format error\n");
}
