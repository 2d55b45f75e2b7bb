// Which commands are of one kind.
#include "../kind.h"
#include "harness.h"

static uint64_t line(const char *text)
{
	return kind_of("/bin/sh", LIST("/bin/sh", "-c", (char *)text));
}

TEST(what_differs_in_its_files_only_is_of_one_kind)
{
	static const char *const same[][2] = {
		{"touch a", "touch b c d"},
		{"cc -c -O2 a.c -o a.o", "/usr/bin/cc -o b.o -O0 -c b.c -c"},
		{"cc --std=c11 a.c", "cc --std=c17 b.c"},
		{"cd a && cp x y; touch z", "cd b;   cp u v && touch w"},
		{"A=1 B= cc -c x.c", "cc -c y.c"},
		{">x", ">some/other"},
		{"sed 's/a;b/c|d/' x >y 2>&1", "sed 'p' z >u"},
		{"echo \"a;b $(cat x) c;d\" end", "echo $(cat y)"},
		{"if test -f a; then rm -f a; fi", "if test -f b; then rm -f b c; fi"},
		{"x=$(basename a.c) cc -v", "x=$(basename b.c); cc -v"},
		{"python3 gen.py 1 >a", "python3 tools/gen.py 2 >b"},
		{"touch \"`sleep 1`\"; ls", "touch $(sleep 2); ls"},
		{"echo a &>x", "echo b"},
		{"echo a\\;b", "echo a"},
	};
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
		if (line(same[i][0]) != line(same[i][1]))
			fail(__FILE__, __LINE__, "%s, %s", same[i][0], same[i][1]);
	CHECK(kind_of("/bin/cc", LIST("cc", "-c", "-Ia", "a.c")) == kind_of("cc", LIST("other", "b.c", "-c", "-c", "-Ib")));
	CHECK(kind_of("/bin/bash", LIST("bash", "-eo", "pipefail", "-c", "true a", "name")) == kind_of("/bin/bash", LIST("bash", "-c", "true b")));
}

TEST(what_is_likely_to_take_another_time_is_of_another_kind)
{
	static const char *const all[] = {
		"touch a", "cc a.c", "cc -c a.c", "cc --version", "cc -c a.c && touch b", "cc -c a.c; ld a.o", "python3 a.py", "python3 b.py", "python3 -c a.py",
		"sh a", "sh b", "(sleep 1)", "touch $(sleep 1)", "touch 'a' | sort", "if true; then sleep 1; fi", "exec cat x", "true\nfalse", ">x", "true", "x=$(id)",
		"echo \"$(ls)\"; who", "nice cc", "nice ld", "env A=b lua", "cc -O2 --version", "cc --mode=x", "'touch' a",
	};
	enum { N = sizeof(all) / sizeof(*all) };
	for (int i = 0; i < N; i++) {
		CHECK(line(all[i]) != 0);
		for (int j = 0; j < i; j++)
			if (line(all[i]) == line(all[j]))
				fail(__FILE__, __LINE__, "%s, %s", all[i], all[j]);
	}
	CHECK(kind_of("/bin/true", LIST("true")) != kind_of("/bin/false", LIST("true")));
	CHECK(kind_of("/bin/sh", LIST("sh", "a")) != kind_of("/bin/sh", LIST("sh", "-c", "a")));
	CHECK(kind_of("sh", LIST("sh", "libtool", "--tag=CC", "cc")) != kind_of("sh", LIST("sh", "configure", "--tag=CC")));
}

// The words are where a reader that goes too far is found out.
TEST(any_text_has_a_kind)
{
	CHECK(kind_of("", NULL) != 0 && kind_of("a/", LIST("")) != 0 && kind_of("sh", (char *[]){NULL}) != 0);
	CHECK(kind_of("sh", LIST("sh", "-c")) != 0 && kind_of("sh", LIST("sh", "-o")) != 0 && kind_of("sh", LIST("sh", "-c", "")) != 0);
	static const char letters[] = "ab \t\n;&|()`<>$'\"\\=-1{!";
	unsigned seed = 7;
	for (int i = 0; i < 200000; i++) {
		size_t n = rand_r(&seed) % 40;
		char *text = malloc(n + 1); // as long as it is
		for (size_t k = 0; k < n; k++)
			text[k] = letters[rand_r(&seed) % (sizeof(letters) - 1)];
		text[n] = '\0';
		CHECK(line(text) != 0 && line(text) == line(text));
		free(text);
	}
}

TEST(of_a_long_command_the_begin_counts_and_that_it_was_long)
{
	enum { LONG = 1 << 20 };
	char *text = malloc(LONG), *other = malloc(LONG);
	memset(text, 'x', LONG);
	memcpy(text, "cat ", 4);
	text[LONG - 1] = '\0';
	memcpy(other, text, LONG);
	strcpy(other + LONG - 20, "; sleep 1");
	CHECK(line(text) == line(other) && line(text) != line("cat x"));
	CHECK(kind_of("cat", LIST("cat", text)) == kind_of("cat", LIST("cat", other)) && kind_of("cat", LIST("cat", text)) != kind_of("cat", LIST("cat", "x")));
	free(text);
	free(other);
}
