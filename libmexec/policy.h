// What mprun and mpmake say about the programs that a tool starts: MEXEC_POLICY=PARENT RULE...
//
// PARENT is the process whose child is the tool. A RULE is a sign and a pattern for the last part of a program's pathname, in which a * stands
// for any bytes: - stays here, . does too and starts nothing that this is about, + travels, @ stays here and what it starts travels. Behind a tab there may be a pattern for an argument: the rule
// is for calls with such a one only. The first that matches counts.
#ifndef MEXEC_POLICY_H
#define MEXEC_POLICY_H

#include <stdbool.h>
#include <stddef.h>

enum { LONGEST_POLICY = 8192 }; // with its NUL; package policy knows it

// The arguments of a program: a list, or what follows its name in a shell's line. Neither: it has none.
struct arguments {
	char *const *list;
	const char *line;
};

// find_rule's answer is the sign, or 0. The name is length bytes of any text. It writes no memory but its stack.
char find_rule(const char *policy, const char *name, size_t length, struct arguments arguments);

// is_tool tells whether this process is the one that mprun has started, whatever it has executed since.
bool is_tool(const char *policy);

#endif
