// What a driver tells mpmake and mprun about its children: those that it did not offer to the cluster, and the end of each that it waited for.
//
// The journal is a ring of records in memory that all drivers of a build share, in a file without a name that mpmake or mprun holds
// (MEXEC_JOURNAL, PROTOCOL.md §5). To write one is two atomic operations and a look at the clock: no lock, no system call, no
// allocation, so vfork's child and any thread may. Where there is no journal, nothing happens.
#ifndef MEXEC_JOURNAL_H
#define MEXEC_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

enum {
	JOURNAL_VERSION = 2,
	JOURNAL_RECORDS = 64 << 10, // a power of two
	JOURNAL_BUILD = 40,
	JOURNAL_COMMAND = 96,
	JOURNAL_ABOVE = 24,
	JOURNAL_SHORT = 512,     // rows, a power of two
	JOURNAL_ROW = 8,	 // kinds in a row: a line of the processor's cache
	JOURNAL_STARTED = 8192, // a power of two
};

#define JOURNAL_MAGIC 0x4c4e524a4345584dull // "MXECJRNL"

struct journal_head {
	uint64_t magic;
	uint32_t version;
	uint32_t record_len;
	uint32_t records;
	uint32_t owner; // the process of mpmake or mprun
	char build[JOURNAL_BUILD]; // NULs behind it
	uint64_t next; // records that were begun, ever
	uint64_t rest[7];
};
_Static_assert(sizeof(struct journal_head) == 128, "the journal's head is 128 bytes");

// Record number n, from 0, lies at n % records; its mark is n + 1. Anything else there: it is not written yet, or no longer there.
enum { JOURNAL_BUSY = 63, JOURNAL_TAKEN_BACK = 62 }; // bits of a mark

// The usage of a process has that of the children that it has waited for in it. Who is whose child is told, so that a reader can tell
// apart what was told already: of a driver's copies as they are made, of a driver when it begins.
enum journal_kind { JOURNAL_KEPT = 1, JOURNAL_REAPED = 2, JOURNAL_FORKED = 3, JOURNAL_BEGUN = 4 };

// Why a child was not offered to the cluster. Numbers are never used again.
enum kept {
	KEPT_NOT = 0,     // this process is no driver, or takes its own place: nothing to tell
	KEPT_MAKE,        // it is a make
	KEPT_OURS,        // it is mpmake or mprun
	KEPT_RECURSIVE,   // a line that make calls recursive, or that names a driver
	KEPT_DRIVES,      // the policy calls it a driver
	KEPT_POLICY,      // the policy keeps it here
	KEPT_FUNCTION,    // make's $(shell)
	KEPT_TOO_LONG,    // arguments and environment might not fit with what the stub adds
	KEPT_REFUSED,     // the kernel would refuse it
	KEPT_UNSURE,      // the kernel might refuse it
	KEPT_WITHOUT_STUB, // the stub could not be started
	KEPT_SHORT	   // its kind takes less time than sending it
};

struct journal_record {
	uint64_t mark;
	int64_t at; // ns, CLOCK_REALTIME
	uint32_t kind;
	uint32_t detail; // KEPT: enum kept; REAPED: the status as wait4 gives it
	uint32_t pid;
	uint32_t by; // KEPT, FORKED, BEGUN: its parent; REAPED: who waited
	union {
		char command[JOURNAL_COMMAND]; // KEPT: arguments with blanks between, cut to fit, NULs behind it
		struct {
			uint64_t user_us, system_us, maxrss_kib;
		} usage; // REAPED
		uint32_t above[JOURNAL_ABOVE]; // BEGUN: its parent, the parent's parent and so on, as far as the owner; 0s behind them
	};
};
_Static_assert(sizeof(struct journal_record) == 128, "a journal's record is 128 bytes");

// Behind the records: the kinds of commands (kind.h) that are known to take less time than sending them, written by mpmake and mprun only. A kind is somewhere in its
// row, that of its number modulo JOURNAL_SHORT; 0 is no kind.
struct journal_row {
	uint64_t kinds[JOURNAL_ROW];
};

// And what was started last of the processes whose numbers are equal modulo JOURNAL_STARTED. Two may write at once, and one may read meanwhile: the words then
// do not belong together, which check tells, and nobody learns from them.
struct journal_started {
	uint64_t pid; // with JOURNAL_STAYED, if it was kept for being short; else it is behind the stub
	uint64_t kind;
	int64_t at;	// as in a record
	uint64_t check; // the others, by exclusive or
};
#define JOURNAL_STAYED (1ull << 32)

struct journal_tables {
	struct journal_row brief[JOURNAL_SHORT];
	struct journal_started started[JOURNAL_STARTED];
};

enum { JOURNAL_SIZE = sizeof(struct journal_head) + JOURNAL_RECORDS * sizeof(struct journal_record) + sizeof(struct journal_tables) };

// start_journal maps the journal of a build, once, and tells that a driver begins. The build is length bytes.
void start_journal(const char *build, size_t length);
bool has_journal(void);

// note_kept tells of a child; argv may be NULL, and path then is what there is. The ticket is take_back's, 0 for none.
uint64_t note_kept(enum kept why, pid_t pid, pid_t by, const char *path, char *const argv[]);
// take_back is for an execve that came back: the record is no longer there for a reader that has not been here yet.
void take_back(uint64_t ticket);

// is_brief tells whether a kind takes less time than sending it; without a journal, none does.
bool is_brief(uint64_t kind);

// journal_now is for note_started; 0 without a journal.
int64_t journal_now(void);
// note_started tells of what kind a process is that begins now: kept, if it was kept for being short, or else behind the stub. A kind of 0 is not told.
void note_started(pid_t pid, uint64_t kind, bool stayed, int64_t at);

// note_reaped tells of the end of a child, by its status and usage as wait4 gives them.
void note_reaped(pid_t pid, int status, const struct rusage *usage);

#endif
