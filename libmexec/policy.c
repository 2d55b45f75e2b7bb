#include "policy.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Greedy with one place to come back to: where a later * is reached, no earlier one needs to take more.
static bool matches(const char *pattern, size_t n, const char *name, size_t length)
{
	size_t p = 0, i = 0, star = n, from = 0; // star: the last * seen; from: what it may give back next
	while (i < length) {
		if (p < n && pattern[p] == '*') {
			star = p++;
			from = i;
		} else if (p < n && pattern[p] == name[i]) {
			p++;
			i++;
		} else if (star < n) {
			p = star + 1;
			i = ++from;
		} else {
			return false;
		}
	}
	while (p < n && pattern[p] == '*')
		p++;
	return p == n;
}

char find_rule(const char *policy, const char *name, size_t length)
{
	const char *at = policy + strcspn(policy, " ");
	while (*(at += strspn(at, " ")) != '\0') {
		size_t n = strcspn(at, " ");
		if (matches(at + 1, n - 1, name, length))
			return *at;
		at += n;
	}
	return 0;
}

bool is_tool(const char *policy)
{
	return *policy != '\0' && strtol(policy, NULL, 10) == getppid();
}
