#include "handed.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "leave.h"
#include "policy.h"

enum {
	DRIVER,
	REPEAT,
	POLICY, // from here on it is a driver's only
	JOURNAL,
	PRELOAD,
	HANDED,
	AT_MOST = 16 << 10, // entries of an environment: more would be too much for a borrowed stack
};

static const char *const names[HANDED] = {"MEXEC_DRIVER=", "MEXEC_REPEAT=", "MEXEC_POLICY=", "MEXEC_JOURNAL=", "LD_PRELOAD="};

// Written by remember_handed only. Empty: there is none.
static char driver[2 * PATH_MAX], repeat[LONGEST_POLICY + 16], policy[LONGEST_POLICY + 16], journal[PATH_MAX], preload[2 * PATH_MAX];
static const char *const handed[HANDED] = {driver, repeat, policy, journal, preload};
static char others[2 * PATH_MAX]; // preload without us

static void keep(char *to, size_t size, const char *name)
{
	char bare[16] = "";
	memcpy(bare, name, strlen(name) - 1);
	const char *value = getenv(bare);
	size_t length = value != NULL ? strlen(value) : size;
	if (strlen(name) + length >= size)
		return;
	strcpy(to, name);
	strcat(to, value);
}

void remember_handed(void)
{
	keep(driver, sizeof(driver), names[DRIVER]);
	keep(repeat, sizeof(repeat), names[REPEAT]);
	keep(policy, sizeof(policy), names[POLICY]);
	keep(journal, sizeof(journal), names[JOURNAL]);
	keep(preload, sizeof(preload), names[PRELOAD]);
	if (preload[0] != '\0') {
		strcpy(others, preload);
		leave_list(others + strlen(names[PRELOAD]));
	}
}

static bool has(char *const envp[], const char *name)
{
	for (; *envp != NULL; envp++)
		if (strncmp(*envp, name, strlen(name)) == 0)
			return true;
	return false;
}

// Who has the first has all: they come and go together.
size_t handed_room(char *const envp[], bool for_driver)
{
	if (driver[0] == '\0' || envp == NULL || has(envp, names[DRIVER]) || (for_driver && has(envp, names[PRELOAD])))
		return 0;
	size_t n = 0;
	while (envp[n] != NULL && n <= AT_MOST)
		n++;
	return n <= AT_MOST ? n + HANDED + 1 : 0;
}

char *const *hand_on(char *const envp[], bool for_driver, const char **room)
{
	const char **to = room;
	for (int i = 0; i < (for_driver ? HANDED : POLICY); i++)
		if (handed[i][0] != '\0')
			*to++ = handed[i];
	do
		*to++ = *envp;
	while (*envp++ != NULL);
	return (char *const *)room;
}

static bool is_ours(const char *entry)
{
	static const char *const all[] = {"MEXEC_DRIVER=", "MEXEC_POLICY=", "MEXEC_JOURNAL=", "MEXEC_REPEAT="};
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (strncmp(entry, all[i], strlen(all[i])) == 0)
			return true;
	return false;
}

static bool is_preload(const char *entry)
{
	return preload[0] != '\0' && strcmp(entry, preload) == 0;
}

size_t plain_room(char *const envp[])
{
	size_t n = 0;
	bool any = false;
	while (envp != NULL && envp[n] != NULL && n <= AT_MOST) {
		any = any || is_ours(envp[n]) || is_preload(envp[n]);
		n++;
	}
	return any && n <= AT_MOST ? n + 1 : 0;
}

char *const *plain(char *const envp[], const char **room)
{
	const char **to = room;
	for (; *envp != NULL; envp++)
		if (is_preload(*envp)) {
			if (others[strlen(names[PRELOAD])] != '\0')
				*to++ = others;
		} else if (!is_ours(*envp)) {
			*to++ = *envp;
		}
	*to = NULL;
	return (char *const *)room;
}
