// mexec: hand a command to the daemon of this node, wait for it, end as it ended. stub.h names the files in order.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "search.h"
#include "stub.h"
#include "sure.h"

static _Noreturn void cannot_run(const char *name, int err)
{
	say("mexec: ", name, ": ", strerror(err), NULL);
	_exit(err == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN);
}

// Executes the program in place: nothing that execve hands on has been changed, so nothing is put back.
static _Noreturn void execute(struct job *job)
{
	execve(job->path, job->argv, job->env);
	int err = errno;
	if (err == ENOEXEC && !job->pathname) {
		// As execvp: a file without a first line for the kernel is a shell's. The arguments need one more place; the one
		// before them held our own name or an option.
		char **argv = job->argv - 1;
		argv[0] = "/bin/sh";
		argv[1] = (char *)job->path;
		execve(argv[0], argv, job->env);
	}
	cannot_run(job->name, err);
}

static void null_stdin(void)
{
	int fd = open("/dev/null", O_RDONLY);
	if (fd > 0) {
		dup2(fd, 0);
		close(fd);
	}
}

// Offers the job to one daemon. False: nobody has it.
static bool offer(struct job *job, const char *socket, const char **why)
{
	int connection = hand_over(job, socket, why);
	if (connection < 0)
		return false;
	if (converse(job, connection) == ANSWER_HERE)
		execute(job); // the daemon follows us, and sees by the connection's end that execve has begun
	close(connection);
	*why = "the daemon went away before it sent the job";
	return false;
}

// The sockets in their order: the named one, or the user's own daemon and the machine's; mpmake's own at last.
static const char *offer_to_all(struct job *job, const char *fallback)
{
	const char *why = "no daemon";
	const char *named = getenv_in(job->env, "MEXEC_SOCKET");
	if (named != NULL && *named != '\0') {
		offer(job, named, &why);
	} else {
		static const char name[] = "/mexec/mexecd.sock";
		static char own[PATH_MAX + sizeof(name)];
		const char *run = getenv_in(job->env, "XDG_RUNTIME_DIR");
		if (run != NULL && *run == '/' && strlen(run) < PATH_MAX) {
			memcpy(own, run, strlen(run));
			memcpy(own + strlen(run), name, sizeof(name));
			offer(job, own, &why);
		}
		offer(job, "/run/mexec/mexecd.sock", &why);
	}
	if (*fallback != '\0')
		offer(job, fallback, &why);
	return why;
}

int main(int argc, char **argv, char **env)
{
	(void)argc;
	static struct job job;
	struct options o = parse_options(argv);
	if (o.traced) { // with all that drivers are told in its environment
		const char *path = o.command[0];
		be_traced(find_fallback(env), path);
		if (o.argv0 != NULL)
			o.command[0] = (char *)o.argv0;
		execve(path, o.command, env);
		cannot_run(path, errno);
	}
	struct driver d = read_driver(env);
	const char *nodes = o.nodes != NULL ? o.nodes : getenv_in(env, "NODES");
	job.name = o.command[0];
	job.path = o.command[0];
	job.argv = o.command;
	job.env = env;
	job.nodes = nodes != NULL ? nodes : "";
	job.build = d.build;
	job.repeat = d.repeat;
	job.verbose = o.verbose;
	job.pathname = o.pathname;
	if (o.argv0 != NULL)
		job.argv[0] = (char *)o.argv0;
	if (o.no_stdin)
		null_stdin();

	static char room[PATH_MAX];
	int err = job.pathname ? probe(job.path, &job.program)
			       : search(job.path, getenv_in(env, "PATH"), probe_through, room, &job.path, &job.program);
	if (err != 0)
		cannot_run(job.name, err);

	job.head.flags = (o.verbose ? EXEC_VERBOSE : 0) | (o.no_stdin ? EXEC_NO_STDIN : 0) | (d.present ? EXEC_DRIVER : 0) |
			 (o.chosen ? o.rerun : d.rerun);
	const char *why = offer_to_all(&job, d.fallback);
	if (o.verbose)
		say("mexec: here: ", why, NULL);
	execute(&job);
}
