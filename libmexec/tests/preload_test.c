// The preload puts a make's recipes behind the stub, and nothing else.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

// run starts program under the preload and returns its wait status; "out" and "err" hold what it said.
static int run(const char *program, char *const argv[], const char *stub, const char *more)
{
	pid_t pid = fork();
	if (pid == 0) {
		char preload[4200], driver[9000], cwd[4096], sock[4200];
		CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
		snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", preload_path);
		snprintf(driver, sizeof(driver), "MEXEC_DRIVER=b7:%s:%s/tracer", stub, cwd);
		snprintf(sock, sizeof(sock), "MEXEC_SOCKET=%s/sock", cwd);
		unlink("out");
		unlink("err");
		redirect("out", 1);
		redirect("err", 2);
		char *env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/", "LC_ALL=C", preload, driver, sock, (char *)more, NULL};
		execve(program, argv, env);
		_exit(99);
	}
	return ended(pid);
}

static int times(const char *text, const char *what)
{
	int n = 0;
	for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
		n++;
	return n;
}

static void refused_files(void)
{
	file("plain", "x", 0600);
	file("text", "exit 5\n", 0700);
}

TEST(every_way_to_start_goes_through_the_stub_and_leaves_no_trace)
{
	refused_files();
	serve_here("sock", "log");
	SAME(run(vfork_path, LIST("make-vfork", "exit 5"), stub_path, NULL), 0);
	SAME_TEXT(contents("err"), "");
	SAME(times(contents("log"), "/bin/sh [sh] [-c] [exit 5]"), 9);
	SAME(times(contents("log"), "build=b7 driver=1\n"), 9);
	SAME(times(contents("log"), "\n"), 9);
}

TEST(a_stub_that_cannot_be_started_is_as_if_we_were_not_there)
{
	refused_files();
	file("broken", "text", 0700);
	char cwd[4096], broken[4200];
	CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
	snprintf(broken, sizeof(broken), "%s/broken", cwd);
	run(vfork_path, LIST("make-vfork", "echo ran; exit 5"), broken, NULL); // the C library's own search leaves an errno
	SAME(times(contents("out"), "ran"), 9);
}

TEST(what_file_actions_do_is_done_once_and_decides)
{
	CHECK(mkdir("sub", 0700) == 0 && mkdir("bin", 0700) == 0);
	file("only-here", "#!/bin/sh\n", 0700);
	file("bin/only-here", "#!/bin/sh\n", 0700);
	serve_here("sock", "log");
	int status = run(vfork_path, LIST("make-vfork", "act"), stub_path, NULL);
	SAME_TEXT(contents("err"), "");
	SAME(status, 0);
	SAME(times(contents("log"), "/true"), 4); // not that all have run here
}

// Of what stays, another library is told what it would be without us. A line that names a make stays.
TEST(a_library_behind_us_is_called_as_without_us)
{
	refused_files();
	char both[9000], alone[4200];
	snprintf(both, sizeof(both), "LD_PRELOAD=%s:%s", preload_path, other_path);
	snprintf(alone, sizeof(alone), "LD_PRELOAD=%s", other_path);
	serve_here("sock", "log");
	run("/usr/bin/env", LIST("env", alone, (char *)vfork_path, "exit 5 # make"), stub_path, NULL); // the C library's own search leaves an errno
	char *without = strdup(contents("hooked"));
	SAME(times(without, "execvp"), 1);
	unlink("hooked");
	run("/usr/bin/env", LIST("env", both, (char *)vfork_path, "exit 5 # make"), stub_path, NULL);
	SAME_TEXT(contents("hooked"), without);
	SAME_TEXT(contents("log"), "");
}

TEST(in_a_program_that_is_no_make_nothing_happens)
{
	serve_here("sock", "log");
	SAME(run("/bin/sh", LIST("sh", "-c", "/bin/echo a; /bin/sh -c '/bin/echo b'"), stub_path, NULL), 0);
	SAME_TEXT(contents("out"), "a\nb\n");
	SAME_TEXT(contents("log"), "");
}

// What travels, travels whole; what takes the tool's own place does not.
TEST(what_a_tool_starts_goes_behind_the_stub_as_its_policy_says)
{
	char policy[64];
	snprintf(policy, sizeof(policy), "MEXEC_POLICY=%d +tac -ta* @env", (int)getpid());
	serve_here("sock", "log");
	const char script[] = "/bin/echo a; tail /dev/null; tac /dev/null; sh -c 'tail /dev/null'; sh -c '/bin/echo b; env -i true; :'; "
			      "env /bin/echo c; exec /bin/echo last";
	SAME(run("/bin/sh", LIST("sh", "-c", (char *)script), stub_path, policy), 0);
	SAME_TEXT(contents("out"), "a\nb\nc\nlast\n");
	SAME(times(contents("log"), "\n"), 2);
	SAME(times(contents("log"), "[a]"), 1);
	SAME(times(contents("log"), "[/dev/null]"), 1); // of tac
}

// What our own list keeps starts no driver, and has the environment that it would have without us; what a file keeps may start one.
TEST(what_stays_has_ours_in_its_environment_only_if_it_may_start_a_driver)
{
	for (int ours = 0; ours < 2; ours++) {
		char policy[64];
		snprintf(policy, sizeof(policy), "MEXEC_POLICY=%d %cenv", (int)getpid(), ours ? '.' : '-');
		unlink("out");
		SAME(run("/bin/sh", LIST("sh", "-c", "env; sh -c env; FOO=bar env; :"), stub_path, policy), 0);
		SAME(times(contents("out"), "FOO=bar"), 1);
		SAME(times(contents("out"), "MEXEC_POLICY="), ours ? 0 : 3);
		SAME(times(contents("out"), "MEXEC_DRIVER="), ours ? 0 : 3);
		SAME(times(contents("out"), "libmexec-preload.so"), ours ? 0 : 3);
	}
}

// One that is a driver by its arguments, in each way that a shell's line may call it; the others travel whole.
TEST(a_driver_may_be_one_for_some_arguments_only)
{
	char policy[64];
	snprintf(policy, sizeof(policy), "MEXEC_POLICY=%d @sh\t-u* @env\tFOO=*", (int)getpid());
	serve_here("sock", "log");
	const char script[] = "env FOO=a /bin/echo inner 1; env BAR=b /bin/echo outer; sh -uec '/bin/echo inner 2; :'; sh -ec '/bin/echo outer; :'; "
			      "sh -c 'cd /; env \"FOO=c\" /bin/echo inner 3'; sh -c 'cd /; env BAR=d; env x=FOO=e true; :'; "
			      "sh -c '\"$@\"; :' sh env FOO=f";
	SAME(run("/bin/sh", LIST("sh", "-c", (char *)script), stub_path, policy), 0);
	SAME(times(contents("log"), "\n"), 4);
	SAME(times(contents("log"), "[inner] [2]"), 1); // what env executes takes its place, and stays
	SAME(times(contents("log"), "[BAR=b]"), 1);
}

// As SCons does. The stub must know whose command it is, the command has what the tool meant, and a driver below is one.
TEST(a_tool_that_gives_its_children_an_environment_of_its_own_is_no_less_one)
{
	char policy[64];
	snprintf(policy, sizeof(policy), "MEXEC_POLICY=%d", (int)getpid());
	serve_here("sock", "log");
	file("Makefile", "all: ; @/bin/echo $$A $$MAKELEVEL\n", 0600);
	char cwd[4096], socket[4200];
	CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
	snprintf(socket, sizeof(socket), "MEXEC_SOCKET => \"%s/sock\"", cwd);
	char script[8192];
	snprintf(script, sizeof(script), "%%ENV = (A => 1, %s); system('/usr/bin/env', '-u', 'MEXEC_SOCKET'); system('/usr/bin/make', '-s');", socket);
	SAME(run("/usr/bin/perl", LIST("perl", "-e", script), stub_path, policy), 0);
	SAME_TEXT(contents("out"), "A=1\n1 1\n");
	SAME(times(contents("log"), "build=b7 driver=1\n"), 2);
}

// As debian/rules is: a make is told by the first line of what is executed.
TEST(a_makefile_that_is_executed_is_a_make)
{
	char policy[64];
	snprintf(policy, sizeof(policy), "MEXEC_POLICY=%d", (int)getpid());
	serve_here("sock", "log");
	file("rules", "#!/usr/bin/make -f\nall: ; @/bin/echo a recipe\n", 0700);
	SAME(run("/bin/sh", LIST("sh", "-c", "./rules all; :"), stub_path, policy), 0);
	SAME_TEXT(contents("out"), "a recipe\n");
	SAME(times(contents("log"), "\n"), 1);
	SAME(times(contents("log"), "[a] [recipe]"), 1);
}

static int make(char *const argv[], const char *makefile, const char *more)
{
	file("Makefile", makefile, 0600);
	serve_here("sock", "log");
	return run("/usr/bin/make", argv, stub_path, more);
}

TEST(recipes_go_behind_the_stub_and_shell_functions_do_not)
{
	SAME(make(LIST("make", "-s", "-j3"),
		  "X := $(shell echo from the function)\n"
		  "all: a b\n"
		  "a: ; echo $(X); env | grep -c '^MEXEC_DRIVER\\|^LD_PRELOAD' || true\n"
		  "b: a ; /bin/echo direct\n",
		  NULL),
	     0);
	SAME_TEXT(contents("out"), "from the function\n0\ndirect\n");
	SAME(times(contents("log"), "\n"), 2);
	SAME(times(contents("log"), "/bin/echo [/bin/echo] [direct]"), 1);
}

// Make 4.4 gives both the same environment.
TEST(what_make_captures_stays_here_whatever_its_environment)
{
	serve_here("sock", "log");
	SAME(run(capture_path, LIST("make-capture"), stub_path, NULL), 0);
	SAME_TEXT(contents("out"), "captured function\nrecipe\ncaptured function\nrecipe\n");
	SAME(times(contents("log"), "[function]"), 0);
	SAME(times(contents("log"), "[recipe]"), 2);
}

// ld-musl loads us for whoever inherits LD_PRELOAD, and ends a program that wants one name which it does not have.
TEST(a_program_of_another_c_library_starts_and_is_served)
{
	serve_here("sock", "log");
	SAME(run(musl_path, LIST("make-musl"), stub_path, NULL), 0);
	SAME_TEXT(contents("err"), "");
	SAME_TEXT(contents("out"), "captured function\nrecipe\ncaptured function\nrecipe\n");
	SAME(times(contents("log"), "[recipe]"), 2);
}

static void nested(char *jobs)
{
	CHECK(mkdir("sub", 0700) == 0);
	file("sub/Makefile", "all: ; /bin/echo in sub\n", 0600);
	SAME(make(LIST("make", "-s", jobs), "all: ; cd sub && $(MAKE)\n", NULL), 0);
	SAME_TEXT(contents("out"), "in sub\n");
	SAME(times(contents("log"), "\n"), 1); // the nested make's recipe, and neither its shell nor itself
	SAME(times(contents("log"), "/bin/echo [/bin/echo] [in] [sub]"), 1);
}

TEST(a_nested_make_runs_here_and_its_recipes_spread)
{
	nested("-j3");
}

TEST(a_nested_make_without_a_jobserver_is_known_by_its_name)
{
	nested("-j1");
}

TEST(a_word_that_only_begins_like_make_is_no_make)
{
	SAME(make(LIST("make", "-s"), "all: ; echo makefile remake | cat\n", NULL), 0);
	SAME(times(contents("log"), "\n"), 1);
}

TEST(a_directory_named_make_is_no_make)
{
	SAME(make(LIST("make", "-s"), "all: ; echo /src/make/a.c | cat; echo b\n", NULL), 0);
	SAME(times(contents("log"), "\n"), 1);
}

TEST(a_plus_line_stays_here)
{
	SAME(make(LIST("make", "-s", "-j2"), "all: ; +/bin/echo plus\n", NULL), 0);
	SAME_TEXT(contents("log"), "");
}

TEST(a_jobserver_from_outside_is_understood_too)
{
	int p[2];
	CHECK(pipe(p) == 0 && dup2(p[0], 60) == 60 && dup2(p[1], 61) == 61 && write(61, "++", 2) == 2);
	SAME(make(LIST("make", "-s"), "all: a b\na: ; /bin/echo a\nb: ; +/bin/echo b\n", "MAKEFLAGS= -j --jobserver-auth=60,61"), 0);
	SAME(times(contents("log"), "\n"), 1);
	SAME(times(contents("log"), "[a]"), 1);
}

TEST(a_missing_program_is_makes_own_message)
{
	SAME(make(LIST("make", "-s"), "all: ; nosuchprogram x\n", NULL), 2 << 8);
	CHECK(strstr(contents("err"), "make: nosuchprogram: No such file or directory\n") != NULL);
	CHECK(strstr(contents("err"), "mexec") == NULL);
	SAME_TEXT(contents("log"), "");
}

TEST(a_script_without_a_first_line_becomes_a_shells_by_make)
{
	file("script", "echo script $1\n", 0700);
	SAME(make(LIST("make", "-s"), "all: ; ./script x\n", NULL), 0);
	SAME_TEXT(contents("out"), "script x\n");
	SAME(times(contents("log"), "/bin/sh [/bin/sh] [./script] [x]"), 1);
}

TEST(a_failing_recipe_fails_as_ever)
{
	SAME(make(LIST("make", "-sk"), "all: a b\na: ; exit 3\nb: ; kill -9 $$$$\n", NULL), 2 << 8);
	CHECK(strstr(contents("err"), "make: *** [Makefile:2: a] Error 3\n") != NULL);
	CHECK(strstr(contents("err"), "make: *** [Makefile:3: b] Killed\n") != NULL);
}

TEST(mexec_in_a_recipe_is_not_put_behind_another)
{
	char text[4200];
	snprintf(text, sizeof(text), "all: ; %s /bin/echo one\n", stub_path);
	SAME(make(LIST("make", "-s"), text, NULL), 0);
	SAME(times(contents("log"), "\n"), 1);
	SAME(times(contents("log"), "/bin/echo [/bin/echo] [one] build=b7"), 1);
}

// serve_traces is whoever traces: it writes the names of those who ask into a file, a line for each.
static void serve_traces(const char *asked, int type)
{
	int listener = listen_at("tracer");
	pid_t test = getpid();
	if (fork() != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != test)
		_exit(0);
	alarm(60);
	FILE *to = fopen(asked, "a");
	for (;;) {
		int c = accept_at(listener);
		struct frame f;
		char text[4096] = "";
		CHECK(read(c, &f, sizeof(f)) == sizeof(f) && f.type == FRAME_QUERY && f.length < sizeof(text));
		CHECK(read(c, text, f.length) == (ssize_t)f.length);
		fprintf(to, "%s\n", text);
		fflush(to);
		if (type == FRAME_REPLY)
			answer_text(c, FRAME_REPLY, "true");
		else if (type == FRAME_FAILED)
			answer_failed(c, 2, "not allowed");
		close(c);
	}
}

// Each stays, by its own name and with what drivers are told, and has asked before; whatever the answer was.
TEST(a_driver_that_no_library_can_be_loaded_into_asks_to_be_traced)
{
	static const int answers[] = {FRAME_REPLY, FRAME_FAILED, 0};
	static const char makefile[] = "all: a b c d\na: ; ./make x\nb: ; ./make y; :\nc: ; exec ./make z | cat\nd: ; /bin/sh -c 'exec ./make \"$$@\"' . w\n";
	CHECK(symlink(static_path, "make") == 0);
	for (int i = 0; i < 3; i++) {
		unlink("asked");
		unlink("tracer");
		unlink("sock");
		unlink("out");
		serve_traces("asked", answers[i]);
		SAME(make(LIST("make", "-sk"), makefile, NULL), 2 << 8);
		SAME(times(contents("out"), "told\n"), 4);
		SAME(times(contents("out"), "not told\n"), 0);
		SAME(times(contents("out"), "] [x] "), 1);
		SAME(times(contents("out"), "[./make]"), 4);
		SAME_TEXT(contents("asked"), "trace ./make\ntrace ./make\ntrace ./make\ntrace ./make\n");
		SAME(times(contents("err"), "Error 7\n"), 2);
		SAME_TEXT(contents("log"), "");
	}
}

// A shell that is no driver asks for none but drivers, and a tool in its own place for whatever becomes the tool.
TEST(only_drivers_ask_and_what_takes_the_tools_place)
{
	char policy[64], text[16384];
	snprintf(policy, sizeof(policy), "MEXEC_POLICY=%d .true @bake", (int)getpid());
	CHECK(symlink(static_path, "plain") == 0 && symlink(static_path, "bake") == 0 && symlink("/bin/true", "make") == 0);
	serve_traces("asked", FRAME_REPLY);
	serve_here("sock", "log");
	snprintf(text, sizeof(text), "sh -c './plain 1; ./make; ./bake 2'; ./make; true; exec ./plain 3");
	SAME(run("/bin/sh", LIST("sh", "-c", text), stub_path, policy), 7 << 8);
	SAME_TEXT(contents("asked"), "trace ./bake\ntrace ./plain\n");
	SAME_TEXT(contents("out"), "[./plain] [1] told\n[./bake] [2] told\n[./plain] [3] told\n");
	SAME_TEXT(contents("log"), "");
}

TEST(without_a_tracer_a_driver_runs_as_if_it_had_not_asked)
{
	char text[4200];
	snprintf(text, sizeof(text), "all: ; -%s x\n", static_path);
	SAME(make(LIST("make", "-s"), text, NULL), 0);
	CHECK(strstr(contents("out"), "] [x] told\n") != NULL);
}
