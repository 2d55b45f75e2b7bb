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

// In a line the words of one simple command, without what quotes them.
static bool next_argument(struct arguments *a, const char **word, size_t *length)
{
	if (a->list != NULL) {
		if ((*word = *a->list) == NULL)
			return false;
		a->list++;
		*length = strlen(*word);
		return true;
	}
	if (a->line == NULL)
		return false;
	*word = a->line + strspn(a->line, " \t'\"");
	*length = strcspn(*word, " \t'\";&|\n");
	a->line = *word + *length;
	return *length > 0;
}

static bool any_matches(const char *pattern, size_t n, struct arguments arguments)
{
	const char *word;
	size_t length;
	while (next_argument(&arguments, &word, &length))
		if (matches(pattern, n, word, length))
			return true;
	return false;
}

char find_rule(const char *policy, const char *name, size_t length, struct arguments arguments)
{
	const char *at = policy + strcspn(policy, " ");
	while (*(at += strspn(at, " ")) != '\0') {
		size_t n = strcspn(at, " "), own = strcspn(at, " \t");
		if (matches(at + 1, own - 1, name, length) && (own == n || any_matches(at + own + 1, n - own - 1, arguments)))
			return *at;
		at += n;
	}
	return 0;
}

bool is_tool(const char *policy)
{
	return *policy != '\0' && strtol(policy, NULL, 10) == getppid();
}
