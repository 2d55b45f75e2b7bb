// The kinds of commands, by what can be seen of them before they run.
//
// A shell's line is not parsed as a shell would: where a word is taken for a command that is none (in a here-document, or behind quotes that are nested
// deeply) the kind is only narrower or wider than it need be.
#include "kind.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

// What is behind so many bytes, or arguments, does not count.
enum { LOOK = 4 << 10, ARGUMENTS = 512, WORDS = 4 };

// A set of words as 256 bits: neither order nor repetition counts, and a word more costs no memory.
struct shape {
	uint64_t words[WORDS];
	size_t left; // bytes that may be looked at
};

enum role { PROGRAM = 1, OPTION, SCRIPT, CUT };

static uint64_t mixed(uint64_t h) // the finalizer of MurmurHash3: each bit of h changes each bit of it
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdull;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ull;
	return h ^ h >> 33;
}

static uint64_t hash(enum role role, const char *word, size_t length)
{
	uint64_t h = 0xcbf29ce484222325ull ^ role; // FNV-1a
	for (size_t i = 0; i < length; i++)
		h = (h ^ (unsigned char)word[i]) * 0x100000001b3ull;
	return mixed(h);
}

static void add(struct shape *s, enum role role, const char *word, size_t length)
{
	uint64_t h = hash(role, word, length);
	for (int i = 0; i < 3; i++, h >>= 8)
		s->words[h >> 6 & (WORDS - 1)] |= 1ull << (h & 63);
}

static const char *base(const char *word, size_t *length)
{
	for (const char *slash; (slash = memchr(word, '/', *length)) != NULL; word = slash + 1)
		*length -= slash + 1 - word;
	return word;
}

static bool is(const char *word, size_t length, const char *name)
{
	return strlen(name) == length && memcmp(word, name, length) == 0;
}

static bool is_one_of(const char *word, size_t length, const char *const *names)
{
	for (; *names != NULL; names++)
		if (is(word, length, *names))
			return true;
	return false;
}

static bool is_shell(const char *name, size_t length)
{
	return length >= 2 && memcmp(name + length - 2, "sh", 2) == 0;
}

// Programs of which their first argument says what they do: python3.12 too.
static bool is_interpreter(const char *name, size_t length)
{
	static const char *const names[] = {"python", "perl", "ruby", "node", "awk", "gawk", "mawk", "php", "lua", "tclsh", "java", "busybox", "libtool",
					    "ccache", "distcc", "nice", "timeout", "xargs", "setsid", "stdbuf", "sudo", NULL};
	while (length > 0 && ((name[length - 1] >= '0' && name[length - 1] <= '9') || name[length - 1] == '.'))
		length--;
	return is_shell(name, length) || is_one_of(name, length, names);
}

// Words of a shell's line behind which there is a command, or one more.
static bool is_prefix(const char *word, size_t length)
{
	static const char *const names[] = {"if",   "then",    "elif",	"else", "while", "until", "do",	 "!",
					    "{",    "exec",    "command", "time", "env",   "nohup", "eval", NULL};
	return is_one_of(word, length, names);
}

static bool is_assignment(const char *word, size_t length)
{
	size_t n = 0;
	while (n < length && (word[n] == '_' || (word[n] >= 'A' && word[n] <= 'Z') || (word[n] >= 'a' && word[n] <= 'z') || (n > 0 && word[n] >= '0' && word[n] <= '9')))
		n++;
	return n > 0 && n < length && word[n] == '=';
}

// A command as its words come: the program, then its options, and the script if it is an interpreter.
struct command {
	bool begun, script;
};

// -O2 and -O0 are one option, and so are --mode=link and --mode=compile.
static void take_word(struct shape *s, struct command *c, const char *word, size_t length)
{
	if (length == 0)
		return;
	if (!c->begun) {
		word = base(word, &length);
		c->begun = true;
		c->script = is_interpreter(word, length);
		add(s, PROGRAM, word, length);
	} else if (word[0] == '-' && length > 1) {
		const char *value = memchr(word, '=', length);
		if (value != NULL)
			length = value - word;
		add(s, OPTION, word, length > 2 && word[1] != '-' ? 2 : length);
	} else if (c->script && !is_assignment(word, length)) {
		c->script = false;
		word = base(word, &length);
		add(s, SCRIPT, word, length);
	}
}

// take_line goes through a shell's line once. Behind each of ; & | ( ` and a line's end there is a command. A $( or ` may be within double quotes, and
// what was before it goes on behind its end.
static void take_line(struct shape *s, const char *line)
{
	struct command c = {0};
	const char *end = line + strnlen(line, s->left), *word = NULL;
	if (*end != '\0')
		add(s, CUT, "", 0);
	bool target = false, quoted = false, ticks = false; // of a redirection; by "; by `
	uint64_t above = 0; // what quoted and c.begun are behind each ), the innermost last
	for (const char *at = line;; at++) {
		char ch = at < end ? *at : '\n';
		if (ch == '\\' && at + 1 < end) {
			if (word == NULL)
				word = at;
			at++;
			continue;
		}
		if (ch == '\'' && !quoted && at < end) {
			if (word == NULL)
				word = at;
			const char *close = memchr(at + 1, '\'', end - at - 1);
			at = close != NULL ? close : end - 1;
			continue;
		}
		if (ch == '"' && at < end) {
			if (word == NULL)
				word = at;
			quoted = !quoted;
			continue;
		}
		bool substitution = (ch == '$' && at + 1 < end && at[1] == '(') || (ch == '`' && at < end), closed = ch == '`' && ticks;
		bool assigns = word != NULL && !c.begun && is_assignment(word, at - word);
		if (at < end && !substitution && (quoted || strchr(" \t\n;&|()`<>", ch) == NULL)) {
			if (word == NULL)
				word = at;
			continue;
		}
		if (word != NULL) { // it ends here
			size_t length = at - word;
			bool number = (ch == '<' || ch == '>') && length == 1 && *word >= '0' && *word <= '9';
			if (target)
				target = false;
			else if (!number && (c.begun || (!is_assignment(word, length) && !is_prefix(word, length))))
				take_word(s, &c, word, length);
			word = NULL;
		}
		if (at >= end)
			return;
		if (closed || ch == ')') {
			quoted = above & 1;
			c = (struct command){.begun = above & 2};
			above >>= 2;
			ticks = ticks && !closed;
		} else if (substitution || ch == '(') {
			above = above << 2 | (substitution && !assigns ? 2 : c.begun << 1) | quoted;
			quoted = target = false;
			c = (struct command){0};
			ticks = ticks || ch == '`';
			at += ch == '$';
		} else if (ch == '<' || ch == '>') {
			target = true;
		} else if (ch == '&' && ((at > line && (at[-1] == '>' || at[-1] == '<')) || (at + 1 < end && at[1] == '>'))) {
			continue; // 2>&1
		} else if (ch != ' ' && ch != '\t') {
			c = (struct command){0};
			target = false;
		}
	}
}

// A shell's line is its first argument that is no option, if one of the options is -c.
static const char *line_of(char *const argv[])
{
	bool line = false;
	for (int i = 1; argv[i] != NULL && i < ARGUMENTS; i++) {
		const char *arg = argv[i];
		if (arg[0] != '-' && arg[0] != '+')
			return line ? arg : NULL;
		if (arg[1] == '-')
			continue;
		line = line || (arg[0] == '-' && strchr(arg, 'c') != NULL);
		if (strchr(arg, 'o') != NULL && argv[i + 1] != NULL) // -o pipefail
			i++;
	}
	return NULL;
}

uint64_t kind_of(const char *path, char *const argv[])
{
	struct shape s = {.left = LOOK};
	struct command c = {0};
	size_t length = strlen(path);
	const char *name = base(path, &length);
	take_word(&s, &c, name, length);
	const char *line = argv != NULL && argv[0] != NULL && is_shell(name, length) ? line_of(argv) : NULL;
	if (line != NULL)
		take_line(&s, line);
	else
		for (int i = 1; argv != NULL && argv[0] != NULL && argv[i] != NULL; i++) {
			size_t n = strnlen(argv[i], s.left + 1);
			if (n > s.left || i == ARGUMENTS) {
				add(&s, CUT, "", 0);
				break;
			}
			s.left -= n;
			take_word(&s, &c, argv[i], n);
		}
	uint64_t kind = hash(PROGRAM, name, length);
	for (int i = 0; i < WORDS; i++)
		kind = mixed(kind ^ s.words[i]) + i;
	return kind != 0 ? kind : 1;
}
