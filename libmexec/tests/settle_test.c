// A make that is told to end deletes targets when its recipes have ended.
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

// interrupted starts a make in a group of its own, waits for the file "up", and sends sig to the group or to make alone. It returns make's wait status.
static int interrupted(const char *makefile, int sig, bool group)
{
	file("Makefile", makefile, 0600);
	serve_here("sock", "log");
	pid_t pid = fork();
	if (pid == 0) {
		char preload[4200], driver[4200], cwd[4096], sock[4200];
		CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
		snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", preload_path);
		snprintf(driver, sizeof(driver), "MEXEC_DRIVER=b7:%s:", stub_path);
		snprintf(sock, sizeof(sock), "MEXEC_SOCKET=%s/sock", cwd);
		redirect("out", 1);
		redirect("err", 2);
		setpgid(0, 0);
		char *env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", preload, driver, sock, NULL};
		execve("/usr/bin/make", LIST("make", "-s"), env);
		_exit(99);
	}
	while (access("up", F_OK) != 0)
		usleep(1000);
	kill(group ? -pid : pid, sig);
	return ended(pid);
}

// The handler stands for a recipe on another node, which is told later than make.
TEST(a_target_that_a_recipe_makes_while_it_ends_is_deleted)
{
	SAME(interrupted("a: ; trap 'sleep 0.1; echo half >a; exit 3' INT; : >up; while :; do sleep 0.01; done\n", SIGINT, true), SIGINT);
	CHECK(access("a", F_OK) != 0);
	CHECK(strstr(contents("err"), "Deleting file 'a'") != NULL);
}

TEST(a_recipe_hears_of_makes_sigterm_once)
{
	SAME(interrupted("a: ; trap 'echo heard; sleep 0.1; echo half >a; exit 3' TERM; : >up; while :; do sleep 0.01; done\n", SIGTERM, false), SIGTERM);
	CHECK(access("a", F_OK) != 0);
	SAME_TEXT(contents("out"), "heard\n");
}

// make says nothing to it, and goes.
TEST(a_shell_function_does_not_hear_of_makes_sigterm)
{
	SAME(interrupted("X := $(shell trap ': >heard; exit' TERM; : >up; while test -e up -a ! -e go; do sleep 0.01; done; : >ended)\na: ; :\n", SIGTERM, false), SIGTERM);
	file("go", "", 0600);
	while (access("ended", F_OK) != 0 && access("heard", F_OK) != 0)
		usleep(1000);
	CHECK(access("heard", F_OK) != 0);
}

TEST(a_recipe_whose_output_is_a_pipe_hears_of_makes_sigterm_too)
{
	const char text[] = "SHELL := /bin/bash\na: ; exec > >(cat); trap 'echo heard >heard; exit 3' TERM; : >up; while test -e up; do sleep 0.01; done\n";
	SAME(interrupted(text, SIGTERM, false), SIGTERM);
	SAME_TEXT(contents("heard"), "heard\n");
}

TEST(a_recipe_that_ignores_it_makes_make_wait_as_ever)
{
	SAME(interrupted("a: ; trap '' INT; echo half >a; : >up; sleep 1; echo whole >a\n", SIGINT, true), SIGINT);
	SAME_TEXT(contents("a"), "whole\n");
	CHECK(strstr(contents("err"), "Deleting file 'a'") != NULL);
}

// A process that opens its target again and again. Its number is in the file "up"; it has ended when make has.
#define OPENS_AGAIN "sh -c 'trap \"\" TERM; echo $$$$ >pid; mv pid up; while :; do echo half >a; done'"

static void leaves_nothing(const char *makefile)
{
	interrupted(makefile, SIGTERM, true);
	pid_t pid = atoi(contents("up"));
	char path[64], state = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *f = fopen(path, "re");
	if (f != NULL) { // nobody has waited for it
		CHECK(fscanf(f, "%*d (sh) %c", &state) == 1);
		fclose(f);
		kill(pid, SIGKILL);
		SAME(state, 'Z');
	}
	CHECK(access("a", F_OK) != 0);
	CHECK(strstr(contents("err"), "Deleting file 'a'") != NULL);
}

TEST(what_outlives_its_shell_is_gone_before_its_target_is_deleted)
{
	leaves_nothing("a: ; " OPENS_AGAIN "; :\n");
}

TEST(what_a_recipe_has_left_in_a_session_of_its_own_is_gone_too)
{
	leaves_nothing("a: ; (setsid " OPENS_AGAIN " &); while :; do sleep 0.01; done\n");
}

TEST(a_make_that_ignores_the_interrupt_goes_on_ignoring_it)
{
	signal(SIGINT, SIG_IGN);
	SAME(interrupted("a: ; : >up; sleep 0.1; echo whole >a\n", SIGINT, true), 0);
	SAME_TEXT(contents("a"), "whole\n");
}
