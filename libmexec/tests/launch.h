#ifndef LAUNCH_H
#define LAUNCH_H

struct call {
	const char *way, *path;
	char **argv, **env;
};

// call executes c.path in the way named. It returns an errno, or not at all.
int call(const struct call *c);

#endif
