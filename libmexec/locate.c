#include "locate.h"

#include <limits.h>
#include <string.h>
#include <sys/auxv.h>

static const char *variable(char *const envp[], const char *prefix)
{
	for (; *envp != NULL; envp++)
		if (strncmp(*envp, prefix, strlen(prefix)) == 0)
			return *envp + strlen(prefix);
	return NULL;
}

static struct stub_name pathname(const char *at, size_t length)
{
	return at[0] == '/' && length < PATH_MAX ? (struct stub_name){at, length} : (struct stub_name){NULL, 0};
}

struct stub_name locate_stub(char *const envp[])
{
	struct stub_name stub = {NULL, 0};
	// A set-user-ID program must not start what its caller names.
	if (getauxval(AT_SECURE) == 0) {
		const char *driver = variable(envp, "MEXEC_DRIVER="); // BUILD:STUB:FALLBACK
		if (driver != NULL && (driver = strchr(driver, ':')) != NULL)
			stub = pathname(driver + 1, strcspn(driver + 1, ":"));
		if (stub.at == NULL) {
			const char *named = variable(envp, "MEXEC_STUB=");
			if (named != NULL)
				stub = pathname(named, strlen(named));
		}
	}
	return stub.at != NULL ? stub : (struct stub_name){MEXEC_INSTALLED, sizeof(MEXEC_INSTALLED) - 1};
}
