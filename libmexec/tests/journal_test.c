// What a driver writes into the journal, seen in its memory.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../journal.h"
#include "../kind.h"
#include "harness.h"

static char name[64]; // for MEXEC_JOURNAL
static int memory;

static struct journal_head *make_journal(const char *build)
{
	memory = memfd_create("journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(memory >= 0 && ftruncate(memory, JOURNAL_SIZE) == 0 && fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	struct journal_head *h = mmap(NULL, JOURNAL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	CHECK(h != MAP_FAILED);
	*h = (struct journal_head){
		.magic = JOURNAL_MAGIC, .version = JOURNAL_VERSION, .record_len = sizeof(struct journal_record), .records = JOURNAL_RECORDS, .owner = getpid()};
	strcpy(h->build, build);
	snprintf(name, sizeof(name), "/proc/%d/fd/%d", getpid(), memory);
	return h;
}

static const struct journal_record *record(const struct journal_head *h, uint64_t n)
{
	return (const struct journal_record *)(h + 1) + n % JOURNAL_RECORDS;
}

// kept finds the one record of a child whose command is so; NULL: there is none.
static const struct journal_record *kept(const struct journal_head *h, const char *command)
{
	const struct journal_record *found = NULL;
	for (uint64_t n = 0; n < h->next; n++) {
		const struct journal_record *r = record(h, n);
		if (r->mark == n + 1 && r->kind == JOURNAL_KEPT && strcmp(r->command, command) == 0) {
			CHECK(found == NULL);
			found = r;
		}
	}
	return found;
}

static const struct journal_record *reaped(const struct journal_head *h, uint32_t pid)
{
	const struct journal_record *found = NULL;
	for (uint64_t n = 0; n < h->next; n++) {
		const struct journal_record *r = record(h, n);
		if (r->mark == n + 1 && r->kind == JOURNAL_REAPED && r->pid == pid) {
			CHECK(found == NULL);
			found = r;
		}
	}
	return found;
}

static uint64_t count(const struct journal_head *h, uint32_t kind)
{
	uint64_t found = 0;
	for (uint64_t n = 0; n < h->next; n++)
		found += record(h, n)->mark == n + 1 && record(h, n)->kind == kind;
	return found;
}

static int run(const char *program, char *const argv[], const char *build, const char *more)
{
	pid_t pid = fork();
	if (pid == 0) {
		char preload[4200], driver[4200], cwd[4096], sock[4200], journal[128];
		CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
		snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", preload_path);
		snprintf(driver, sizeof(driver), "MEXEC_DRIVER=%s:%s:", build, stub_path);
		snprintf(sock, sizeof(sock), "MEXEC_SOCKET=%s/sock", cwd);
		snprintf(journal, sizeof(journal), "MEXEC_JOURNAL=%s", name);
		unlink("out");
		unlink("err");
		redirect("out", 1);
		redirect("err", 2);
		char *env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/", "LC_ALL=C", preload, driver, sock, journal, (char *)more, NULL};
		execve(program, argv, env);
		_exit(99);
	}
	return ended(pid);
}

// The kernel's own results, errnos and all, are those of a run without us; and each child that is gone is in the journal.
TEST(the_wait_family_is_as_without_us_and_what_it_reaps_is_noted)
{
	char plain[1 << 16];
	pid_t pid = fork();
	if (pid == 0) {
		redirect("out", 1);
		redirect("err", 2);
		execl(waits_path, "make-waits", NULL);
		_exit(99);
	}
	SAME(ended(pid), 0);
	strcpy(plain, contents("out"));
	CHECK(strlen(plain) > 4000);

	const struct journal_head *h = make_journal("b7");
	SAME(run(waits_path, LIST("make-waits"), "b7", NULL), 0);
	SAME_TEXT(contents("out"), plain);
	uint64_t n = 0;
	for (const char *at = contents("reaped"); *at != '\0'; at = strchr(at, '\n') + 1, n++) {
		char *end;
		long child = strtol(at, &end, 10), status = strtol(end, NULL, 16);
		const struct journal_record *r = reaped(h, child);
		CHECK(r != NULL);
		SAME(r->detail, status);
	}
	CHECK(n > 50);
	SAME(count(h, JOURNAL_FORKED) >= n, true);
	SAME(count(h, JOURNAL_REAPED), n + 3); // three of the children have waited for one of their own
}

TEST(copies_are_noted_by_either_c_library)
{
	uint64_t forked[2];
	for (int i = 0; i < 2; i++) {
		const struct journal_head *h = make_journal("b7");
		SAME(run(i == 0 ? capture_path : musl_path, LIST("make"), "b7", NULL), 0);
		forked[i] = count(h, JOURNAL_FORKED);
	}
	CHECK(forked[0] > 0);
	SAME(forked[1], forked[0]);
}

TEST(without_a_driver_there_are_no_records)
{
	const struct journal_head *h = make_journal("b7");
	SAME(run("/bin/sh", LIST("sh", "-c", "/bin/echo a; /bin/echo b"), "b7", NULL), 0);
	SAME(h->next, 0);
}

// What is there instead may be anybody's.
TEST(a_journal_that_is_not_ours_is_left_alone)
{
	const struct journal_head *h = make_journal("b8");
	SAME(run(waits_path, LIST("make-waits"), "b7", NULL), 0);
	SAME(h->next, 0);
	file("plain", "x", 0600);
	CHECK(mkfifo("fifo", 0600) == 0 && truncate("plain", JOURNAL_SIZE) == 0);
	const char *const others[] = {"/nonexistent", "plain", "fifo", "/dev/zero", ""};
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		strcpy(name, others[i]);
		SAME(run(waits_path, LIST("make-waits"), "b7", NULL), 0);
		CHECK(strlen(contents("out")) > 4000);
	}
}

TEST(a_make_tells_what_it_keeps_and_why)
{
	const struct journal_head *h = make_journal("b7");
	CHECK(mkdir("sub", 0700) == 0);
	file("text", "exit 0\n", 0700);
	file("sub/Makefile", "all: ; /bin/echo in sub\n", 0600);
	file("Makefile",
	     "X := $(shell echo from the function)\n"
	     "all: ; echo $(X) >/dev/null\n"
	     "\tcd sub && $(MAKE)\n"
	     "\t$(MAKE) -C sub -n\n"
	     "\t+/bin/echo plus\n"
	     "\t-nosuchprogram x\n"
	     "\texit 3\n",
	     0600);
	serve_here("sock", "log");
	SAME(run("/usr/bin/make", LIST("make", "-s", "-j2"), "b7", NULL), 2 << 8);
	static const struct {
		const char *command;
		uint32_t why, status;
	} want[] = {{"echo from the function", KEPT_FUNCTION, 0},
		    {"/bin/sh -c cd sub && make", KEPT_RECURSIVE, 0},
		    {"make -C sub -n", KEPT_MAKE, 0},
		    {"/bin/echo plus", KEPT_RECURSIVE, 0}};
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		const struct journal_record *r = kept(h, want[i].command);
		if (r == NULL)
			fail(__FILE__, __LINE__, "%s is not in the journal", want[i].command);
		SAME(r->detail, want[i].why);
		const struct journal_record *end = reaped(h, r->pid);
		CHECK(end != NULL && end->at >= r->at && end->by == r->by);
		SAME(end->detail, want[i].status);
		CHECK(end->usage.maxrss_kib > 0);
	}
	SAME(count(h, JOURNAL_KEPT), 4); // what cannot be executed is no child
	SAME(count(h, JOURNAL_REAPED), 4 + 3); // and those behind the stub: two of this make's, one of the other's
}

TEST(a_tool_tells_what_it_keeps_and_why)
{
	char policy[64];
	snprintf(policy, sizeof(policy), "MEXEC_POLICY=%d +tac -ta* @env", (int)getpid());
	const struct journal_head *h = make_journal("b7");
	file("text", "exit 0\n", 0700);
	serve_here("sock", "log");
	const char script[] = "/bin/echo a; tail /dev/null; env true; make --version >/dev/null; ./text; exec /bin/echo last";
	SAME(run("/bin/sh", LIST("sh", "-c", (char *)script), "b7", policy), 0);
	SAME(kept(h, "tail /dev/null")->detail, KEPT_POLICY);
	SAME(kept(h, "env true")->detail, KEPT_DRIVES);
	SAME(kept(h, "make --version")->detail, KEPT_MAKE);
	CHECK(kept(h, "/bin/echo a") == NULL && kept(h, "/bin/echo last") == NULL && kept(h, "./text") == NULL);
	CHECK(reaped(h, kept(h, "tail /dev/null")->pid) != NULL);
}

static const struct journal_record *begun(const struct journal_head *h, uint32_t pid)
{
	for (uint64_t n = 0; n < h->next; n++)
		if (record(h, n)->kind == JOURNAL_BEGUN && record(h, n)->pid == pid)
			return record(h, n);
	return NULL;
}

// Between the two makes are a shell and its copy.
TEST(a_driver_tells_what_is_above_it)
{
	const struct journal_head *h = make_journal("b7");
	file("Makefile", "all: ; (: ; make -f sub) && :\n", 0600);
	file("sub", "all: ; +@/bin/echo $$PPID\n", 0600);
	SAME(run("/usr/bin/make", LIST("make", "-s"), "b7", NULL), 0);
	SAME(count(h, JOURNAL_BEGUN), 2);
	const struct journal_record *outer = record(h, 0);
	SAME(outer->kind, JOURNAL_BEGUN);
	SAME(outer->by, getpid());
	SAME(outer->above[0], getpid());
	SAME(outer->above[1], 0);
	const struct journal_record *inner = begun(h, strtol(contents("out"), NULL, 10));
	const struct journal_record *shell = kept(h, "/bin/sh -c (: ; make -f sub) && :");
	CHECK(inner != NULL && inner != outer && shell != NULL && shell->by == outer->pid);
	int levels = inner->above[0] == shell->pid ? 1 : 2; // a shell may execute the last command of a copy in its place
	SAME(inner->above[levels - 1], shell->pid);
	SAME(inner->above[levels], outer->pid);
	SAME(inner->above[levels + 1], getpid());
	SAME(inner->above[levels + 2], 0);
}

// The program compares its memory before and after.
TEST(what_vforks_child_writes_is_the_journal_alone)
{
	const struct journal_head *h = make_journal("b7");
	file("plain", "x", 0600);
	file("text", "exit 5\n", 0700);
	serve_here("sock", "log");
	SAME(run(vfork_path, LIST("make-vfork", "exit 5"), "b7", NULL), 0);
	int shims = strstr(vfork_path, "/san/") != NULL ? 2 : 1; // the sanitized one is built with one
	SAME(count(h, JOURNAL_KEPT), 0);
	SAME(count(h, JOURNAL_REAPED), 9 * shims);
	SAME(h->next, (1 + 9 + 6) * shims); // its begin; what the kernel refused to execute was taken back
}

TEST(a_long_command_is_cut_and_ends)
{
	char line[300] = "all: ; +@/bin/echo ";
	memset(line + strlen(line), 'x', 200);
	const struct journal_head *h = make_journal("b7");
	file("Makefile", strcat(line, "\n"), 0600);
	SAME(run("/usr/bin/make", LIST("make", "-s", "-j2"), "b7", NULL), 0);
	SAME(count(h, JOURNAL_KEPT), 1);
	const struct journal_record *r = record(h, 1);
	SAME(strlen(r->command), JOURNAL_COMMAND - 1);
	CHECK(memcmp(r->command, "/bin/echo xxx", 13) == 0);
}

// load runs journal_load over a journal.
static void load(const char *processes, const char *records)
{
	pid_t pid = fork();
	if (pid == 0) {
		execl(load_path, "journal_load", name, "b7", processes, records, NULL);
		_exit(99);
	}
	SAME(ended(pid), 0);
}

TEST(many_writers_at_once_lose_nothing_and_mix_nothing)
{
	const struct journal_head *h = make_journal("b7");
	load("8", "8000");
	SAME(h->next, 64000 + 1 + 8);
	SAME(count(h, JOURNAL_BEGUN), 1);
	SAME(count(h, JOURNAL_FORKED), 8);
	static bool seen[9][8000];
	for (uint64_t n = 0; n < h->next; n++) {
		const struct journal_record *r = record(h, n);
		SAME(r->mark, n + 1);
		if (r->kind >= JOURNAL_FORKED)
			continue;
		uint32_t number = r->kind == JOURNAL_KEPT ? r->by : r->detail;
		CHECK(r->pid >= 1 && r->pid <= 8 && number < 8000 && !seen[r->pid][number]);
		seen[r->pid][number] = true;
		if (r->kind == JOURNAL_REAPED) {
			SAME(r->usage.user_us, r->pid * 1000000ull + number);
			SAME(r->usage.system_us, number * 1000000ull + r->pid);
			SAME(r->usage.maxrss_kib, number);
			continue;
		}
		char want[300];
		int length = snprintf(want, sizeof(want), "%u.%u ", r->pid, number);
		memset(want + length, "0123456789"[number % 10], 200);
		want[length + number % 200] = '\0';
		want[JOURNAL_COMMAND - 1] = '\0';
		SAME(r->detail, 1 + number % 10);
		SAME_TEXT(r->command, want);
	}
}

static struct journal_tables *tables(struct journal_head *h)
{
	return (struct journal_tables *)((struct journal_record *)(h + 1) + JOURNAL_RECORDS);
}

static const struct journal_started *started(struct journal_head *h, uint32_t pid)
{
	const struct journal_started *s = &tables(h)->started[pid % JOURNAL_STARTED];
	SAME(s->check, s->pid ^ s->kind ^ (uint64_t)s->at);
	SAME((uint32_t)s->pid, pid);
	return s;
}

static uint64_t make_brief(struct journal_head *h, const char *line)
{
	uint64_t kind = kind_of("/bin/sh", LIST("/bin/sh", "-c", (char *)line));
	for (int i = 0; i < JOURNAL_ROW; i++) { // anywhere in its row
		uint64_t *at = &tables(h)->brief[kind % JOURNAL_SHORT].kinds[(i + 5) % JOURNAL_ROW];
		if (*at == 0) {
			*at = kind;
			return kind;
		}
	}
	fail(__FILE__, __LINE__, "no room");
}

TEST(what_is_known_to_be_short_stays_unless_somebody_wants_it_elsewhere)
{
	struct journal_head *h = make_journal("b7");
	file("Makefile",
	     "export NODES = $(ONLY)\nexport ENVSETTER = $(SETTER)\n"
	     "all: ; test 1 = 1 && :\n\ttest 2 = 2 -o 1 && :\n\t: >a; cat a >b\n\t: >b; cat b >a\n",
	     0600);
	uint64_t brief = make_brief(h, ": >x; cat x"), other = kind_of("/bin/sh", LIST("sh", "-c", "test 1 = 2 && :"));
	serve_here("sock", "log");
	SAME(run("/usr/bin/make", LIST("make", "-s"), "b7", NULL), 0);
	const struct journal_record *r = kept(h, "/bin/sh -c : >a; cat a >b");
	CHECK(r != NULL && kept(h, "/bin/sh -c : >b; cat b >a") != NULL);
	SAME(r->detail, KEPT_SHORT);
	SAME(count(h, JOURNAL_KEPT), 2);
	SAME(started(h, r->pid)->pid >> 32, 1);
	SAME(started(h, r->pid)->kind, brief);
	CHECK(started(h, r->pid)->at <= r->at && r->at - started(h, r->pid)->at < 60000000000);
	int placed = 0;
	for (int i = 0; i < JOURNAL_STARTED; i++)
		placed += tables(h)->started[i].pid != 0 && tables(h)->started[i].pid >> 32 == 0 && tables(h)->started[i].kind == other;
	SAME(placed, 1); // -o is one more option

	char rules[64];
	snprintf(rules, sizeof(rules), "MEXEC_POLICY=%d +cat", (int)getpid());
	SAME(run("/usr/bin/make", LIST("make", "-s", "ONLY=2"), "b7", NULL), 0);
	SAME(run("/usr/bin/make", LIST("make", "-s", "SETTER=x"), "b7", NULL), 0);
	SAME(run("/usr/bin/make", LIST("make", "-s"), "b7", rules), 0);
	SAME(count(h, JOURNAL_KEPT), 2); // as before
}

// As behind the stub.
TEST(what_is_short_has_the_environment_that_it_would_have_without_us)
{
	struct journal_head *h = make_journal("b7");
	char rules[64];
	snprintf(rules, sizeof(rules), "MEXEC_POLICY=%d", (int)getpid());
	serve_here("sock", "log");
	char script[] = "MEXEC_REPEAT=x MEXEC_RERUN=safe env; :";
	SAME(run("/bin/sh", LIST("sh", "-c", script), "b7", rules), 0);
	char placed[1 << 16];
	strcpy(placed, contents("out"));
	CHECK(strstr(placed, "MEXEC_RERUN") != NULL && strstr(placed, "MEXEC_DRIVER") == NULL);
	uint64_t kind = kind_of("/bin/env", LIST("env"));
	tables(h)->brief[kind % JOURNAL_SHORT].kinds[0] = kind;
	SAME(run("/bin/sh", LIST("sh", "-c", script), "b7", rules), 0);
	SAME(count(h, JOURNAL_KEPT), 1);
	SAME_TEXT(contents("out"), placed);
	SAME(run("/usr/bin/env", LIST("env", "LD_PRELOAD=/usr/lib/other.so", "env"), "b7", rules), 0); // the tool's own matter
	CHECK(strstr(contents("out"), "LD_PRELOAD=/usr/lib/other.so\n") != NULL);
}

// A shell forks its children, and they tell of themselves.
TEST(of_a_forked_child_the_kind_is_known_too)
{
	struct journal_head *h = make_journal("b7");
	char rules[64];
	snprintf(rules, sizeof(rules), "MEXEC_POLICY=%d", (int)getpid());
	uint64_t kind = kind_of("/bin/cat", LIST("cat", "-u"));
	tables(h)->brief[kind % JOURNAL_SHORT].kinds[JOURNAL_ROW - 1] = kind;
	serve_here("sock", "log");
	SAME(run("/bin/sh", LIST("sh", "-c", "cat -u /dev/null; cat /dev/null; :"), "b7", rules), 0);
	const struct journal_record *r = kept(h, "cat -u /dev/null");
	SAME(r->detail, KEPT_SHORT);
	SAME(count(h, JOURNAL_KEPT), 1);
	const struct journal_started *s = started(h, r->pid);
	CHECK(s->kind == kind && s->pid >> 32 == 1 && s->at <= r->at && reaped(h, r->pid)->at >= s->at);
}
