// MEXEC_DRIVER, what comes with it and our LD_PRELOAD entry are taken out of the environment, and nothing else is.
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

static void becomes(char *preload, const char *want)
{
	int l = listen_at("sock");
	pid_t pid = run_stub(LIST("mexec", "/bin/true"),
			     LIST("A=1", preload, "MEXEC_JOURNAL=/proc/1/fd/9", "MEXEC_DRIVER=b42:/x/mexec:", "MEXEC_POLICY=1 -a", "MEXEC_SOCKET=sock",
				  "Z=9"),
			     NULL);
	int c = accept_at(l);
	struct received *r = receive(c);
	answer_number(c, FRAME_EXITED, 0);
	SAME(ended(pid), 0);
	SAME_TEXT(r->build, "b42");
	SAME(r->head.flags, EXEC_DRIVER | EXEC_RERUN_SAFE);
	SAME_TEXT(r->repeat, "");
	int i = 0;
	SAME_TEXT(r->env[i++], "A=1");
	if (want != NULL)
		SAME_TEXT(r->env[i++], want);
	SAME_TEXT(r->env[i++], "MEXEC_SOCKET=sock");
	SAME_TEXT(r->env[i++], "Z=9");
	SAME(r->head.envc, i);
	close(l);
	unlink("sock");
}

TEST(other_preloads_stay_byte_for_byte)
{
	becomes("LD_PRELOAD=/x/libmexec-preload.so", NULL);
	becomes("LD_PRELOAD=libmexec-preload.so", NULL);
	becomes("LD_PRELOAD=/x/libmexec-preload.so:/y/other.so", "LD_PRELOAD=/y/other.so");
	becomes("LD_PRELOAD=/y/other.so /x/libmexec-preload.so", "LD_PRELOAD=/y/other.so");
	becomes("LD_PRELOAD=/y/a.so :/x/libmexec-preload.so: b.so", "LD_PRELOAD=/y/a.so : b.so");
	becomes("LD_PRELOAD=/x/libmexec-preload.so:/z/libmexec-preload.so", NULL);
	becomes("LD_PRELOAD=/x/notlibmexec-preload.so", "LD_PRELOAD=/x/notlibmexec-preload.so");
	becomes("LD_PRELOAD=/x/libmexec-preload.so.1", "LD_PRELOAD=/x/libmexec-preload.so.1");
	becomes("LD_PRELOAD=", "LD_PRELOAD=");
	becomes("MEXEC_DRIVER=b42:/y/mexec:/never", NULL);
}

TEST(a_command_executed_here_does_not_see_the_driver_either)
{
	int status = ended(run_stub(LIST("mexec", "/usr/bin/env"),
				    LIST("A=1", "MEXEC_DRIVER=b:/x:/nobody", "no equals sign", "LD_PRELOAD=/x/libmexec-preload.so",
					 "MEXEC_SOCKET=/nobody", "A=2"),
				    NULL));
	SAME(status, 0);
	SAME_TEXT(contents("out"), "A=1\nno equals sign\nMEXEC_SOCKET=/nobody\nA=2\n");
}

static void reruns(char *option, char *variable, uint32_t want)
{
	int l = listen_at("sock");
	pid_t pid = run_stub(LIST("mexec", option, "/bin/true"),
			     LIST("MEXEC_REPEAT=protoc moc*", variable, "MEXEC_DRIVER=b42:/x/mexec:", "MEXEC_SOCKET=sock"), NULL);
	int c = accept_at(l);
	struct received *r = receive(c);
	answer_number(c, FRAME_EXITED, 0);
	SAME(ended(pid), 0);
	SAME(r->head.flags & (EXEC_RERUN_SAFE | EXEC_RERUN_ALWAYS | EXEC_RERUN_SLOW), want);
	SAME_TEXT(r->repeat, "protoc moc*");
	SAME_TEXT(r->env[0], variable); // the user's own
	SAME_TEXT(r->env[1], "MEXEC_SOCKET=sock");
	SAME(r->head.envc, 2);
	close(l);
	unlink("sock");
}

TEST(a_builds_commands_are_lost_as_the_option_or_the_variable_says)
{
	reruns("--", "A=1", EXEC_RERUN_SAFE);
	reruns("--", "MEXEC_RERUN=never", 0);
	reruns("--", "MEXEC_RERUN=safe", EXEC_RERUN_SAFE);
	reruns("--", "MEXEC_RERUN=always", EXEC_RERUN_ALWAYS);
	reruns("--", "MEXEC_RERUN=slow", EXEC_RERUN_SAFE | EXEC_RERUN_SLOW);
	reruns("--", "MEXEC_RERUN=perhaps", EXEC_RERUN_SAFE);
	reruns("--rerun=always", "MEXEC_RERUN=never", EXEC_RERUN_ALWAYS);
	reruns("--rerun=never", "MEXEC_RERUN=always", 0);
	reruns("--rerun=safe", "A=1", EXEC_RERUN_SAFE);
}

TEST(without_a_build_a_sent_command_is_never_run_again_but_by_option)
{
	static char *const options[] = {"--", "--rerun=safe", "--rerun=always"};
	for (uint32_t i = 0; i < 3; i++) {
		int l = listen_at("sock");
		pid_t pid = run_stub(LIST("mexec", options[i], "/bin/true"), LIST("MEXEC_RERUN=always", "MEXEC_REPEAT=x", "MEXEC_SOCKET=sock"), NULL);
		int c = accept_at(l);
		struct received *r = receive(c);
		answer_number(c, FRAME_EXITED, 0);
		SAME(ended(pid), 0);
		SAME(r->head.flags, i == 0 ? 0 : EXEC_RERUN_SAFE * i);
		SAME_TEXT(r->repeat, "");
		SAME(r->head.envc, 3);
		close(l);
		unlink("sock");
	}
}

TEST(the_drivers_socket_is_the_last_one_tried)
{
	int l = listen_at("fallback");
	pid_t pid = run_stub(LIST("mexec", "/bin/true"),
			     LIST("MEXEC_DRIVER=b:/x/mexec:fallback", "MEXEC_SOCKET=/nobody"), NULL);
	int c = accept_at(l);
	SAME_TEXT(receive(c)->build, "b");
	answer_number(c, FRAME_EXITED, 4);
	int status = ended(pid);
	SAME(WEXITSTATUS(status), 4);
}

TEST(a_daemon_lost_while_the_job_waits_leaves_the_job_to_the_drivers)
{
	int first = listen_at("sock"), last = listen_at("fallback");
	pid_t pid = run_stub(LIST("mexec", "/bin/true", "x"),
			     LIST("MEXEC_DRIVER=b:/x/mexec:fallback", "MEXEC_SOCKET=sock"), NULL);
	int c = accept_at(first);
	struct received *one = receive(c);
	answer_text(c, FRAME_WAITING, "");
	close(c);
	c = accept_at(last);
	struct received *two = receive(c);
	SAME(one->length, two->length);
	CHECK(memcmp(one->bytes, two->bytes, one->length) == 0);
	SAME(one->nfds, two->nfds);
	answer_number(c, FRAME_EXITED, 0);
	SAME(ended(pid), 0);
}
