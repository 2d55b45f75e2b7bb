// What mpmake and mprun tell us past the tool: MEXEC_DRIVER=BUILD:STUB:FALLBACK, MEXEC_POLICY, MEXEC_JOURNAL and MEXEC_REPEAT, beside our
// entry in LD_PRELOAD.
//
// All end here, but for MEXEC_RERUN, which is the user's: what he said holds for builds that a command starts in its turn. The command must
// see the environment that it would have had without us, and a program that it starts must not load a library that has nothing to do there.
#include <string.h>

#include "leave.h"
#include "stub.h"

char *find_variable(char *const *env, const char *prefix, size_t length)
{
	for (; *env != NULL; env++)
		if (strncmp(*env, prefix, length) == 0)
			return *env + length;
	return NULL;
}

// Whether an entry is one of ours. What it says that the command's daemon must know is noted.
static bool is_ours(const char *entry, struct driver *d)
{
	if (strncmp(entry, "MEXEC_", 6) != 0)
		return false;
	entry += 6;
	if (strncmp(entry, "REPEAT=", 7) == 0) {
		d->repeat = entry + 7;
		return true;
	}
	return strncmp(entry, "DRIVER=", 7) == 0 || strncmp(entry, "POLICY=", 7) == 0 || strncmp(entry, "JOURNAL=", 8) == 0;
}

const char *find_fallback(char *const *env)
{
	const char *value = getenv_in(env, "MEXEC_DRIVER");
	const char *colon = value != NULL ? strchr(value, ':') : NULL;
	colon = colon != NULL ? strchr(colon + 1, ':') : NULL;
	return colon != NULL ? colon + 1 : "";
}

struct driver read_driver(char **env)
{
	struct driver d = {.build = "", .fallback = "", .repeat = ""};
	char *value = getenv_in(env, "MEXEC_DRIVER");
	if (value == NULL)
		return d;
	d.present = true;
	d.rerun = EXEC_RERUN_SAFE;
	const char *rerun = getenv_in(env, "MEXEC_RERUN");
	if (rerun != NULL)
		rerun_flags(rerun, &d.rerun);
	d.build = value;
	// The variable is about to go, so its colons can become the ends of strings.
	char *colon = strchr(value, ':');
	if (colon != NULL) {
		*colon = '\0';
		colon = strchr(colon + 1, ':');
		if (colon != NULL)
			d.fallback = colon + 1;
	}

	char **to = env;
	for (char **from = env; *from != NULL; from++) {
		if (is_ours(*from, &d))
			continue;
		if (strncmp(*from, "LD_PRELOAD=", 11) == 0) {
			char *list = *from + 11;
			bool empty = *list == '\0';
			leave_list(list);
			if (*list == '\0' && !empty)
				continue;
		}
		*to++ = *from;
	}
	*to = NULL;
	return d;
}
