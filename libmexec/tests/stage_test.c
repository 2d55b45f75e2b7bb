// The rules of stage_same.c as tables. A program of its own: the rules need nothing of the stage, and package spawn's tests run it.
#include <stdio.h>

#include "../stage.h"

enum { EXT4 = 0xef53, TMPFS = 0x01021994, NFS = 0x6969, FUSE = 0x65735546 };

static int failures;

static void same(const char *what, int got, int want)
{
	if (got != want) {
		printf("%s: %d, want %d\n", what, got, want);
		failures++;
	}
}

static void directories(void)
{
	static const struct {
		const char *name;
		struct {
			uint64_t dev, ino, fs;
			int64_t sec;
			uint32_t nsec;
			int64_t taken;
			uint32_t taken_nsec;
		} home;
		struct place here;
		int same_kernel;
		uint32_t skew_ms;
		enum directory want;
	} table[] = {
		{ "one kernel, one inode", { 1, 2, EXT4, 10, 0, 20, 0 }, { 1, 2, EXT4, 99, 9 }, 1, 0, DIRECTORY_SAME },
		{ "one kernel, other inode", { 1, 2, EXT4, 10, 0, 20, 0 }, { 1, 3, EXT4, 10, 0 }, 1, 0, DIRECTORY_INODE },
		{ "one kernel, other device", { 1, 2, EXT4, 10, 0, 20, 0 }, { 2, 2, EXT4, 10, 0 }, 1, 0, DIRECTORY_INODE },
		{ "two disks", { 1, 2, EXT4, 10, 0, 20, 0 }, { 1, 2, EXT4, 10, 0 }, 0, 0, DIRECTORY_LOCAL },
		{ "disk and memory", { 1, 2, EXT4, 10, 0, 20, 0 }, { 1, 2, TMPFS, 10, 0 }, 0, 0, DIRECTORY_LOCAL },
		{ "NFS, home is the server", { 1, 2, EXT4, 10, 0, 20, 0 }, { 9, 2, NFS, 10, 0 }, 0, 0, DIRECTORY_SAME },
		{ "NFS, the worker is the server", { 1, 2, NFS, 10, 0, 20, 0 }, { 9, 2, EXT4, 10, 0 }, 0, 0, DIRECTORY_SAME },
		{ "two NFS clients", { 1, 2, NFS, 10, 5, 20, 0 }, { 9, 2, NFS, 10, 5 }, 0, 0, DIRECTORY_SAME },
		{ "two FUSE mounts, other inode", { 1, 2, FUSE, 10, 5, 20, 0 }, { 9, 3, FUSE, 10, 5 }, 0, 0, DIRECTORY_INODE },
		{ "older here by a second", { 1, 2, NFS, 10, 5, 20, 0 }, { 9, 2, NFS, 9, 5 }, 0, 0, DIRECTORY_OLDER },
		{ "older here by a nanosecond", { 1, 2, NFS, 10, 5, 20, 0 }, { 9, 2, NFS, 10, 4 }, 0, 9999, DIRECTORY_OLDER },
		{ "newer, changed after the look", { 1, 2, NFS, 10, 5, 20, 0 }, { 9, 2, NFS, 25, 0 }, 0, 0, DIRECTORY_SAME },
		{ "newer, a second before the look", { 1, 2, NFS, 10, 5, 20, 7 }, { 9, 2, NFS, 19, 7 }, 0, 0, DIRECTORY_SAME },
		{ "newer, more than a second before", { 1, 2, NFS, 10, 5, 20, 7 }, { 9, 2, NFS, 19, 6 }, 0, 0, DIRECTORY_CHANGED },
		{ "newer, within the skew", { 1, 2, NFS, 10, 5, 20, 0 }, { 9, 2, NFS, 16, 500000000 }, 0, 2500, DIRECTORY_SAME },
		{ "newer, beyond the skew", { 1, 2, NFS, 10, 5, 20, 0 }, { 9, 2, NFS, 16, 499999999 }, 0, 2500, DIRECTORY_CHANGED },
		{ "skew borrows a second", { 1, 2, NFS, 10, 5, 20, 100000000 }, { 9, 2, NFS, 18, 900000000 }, 0, 200, DIRECTORY_SAME },
		{ "skew borrows no more", { 1, 2, NFS, 10, 5, 20, 100000000 }, { 9, 2, NFS, 18, 899999999 }, 0, 200, DIRECTORY_CHANGED },
	};
	for (unsigned i = 0; i < sizeof table / sizeof *table; i++) {
		struct exec_head home = {
			.dir_dev = table[i].home.dev,
			.dir_ino = table[i].home.ino,
			.dir_fs = table[i].home.fs,
			.dir_ctime_sec = table[i].home.sec,
			.dir_ctime_nsec = table[i].home.nsec,
			.dir_taken_sec = table[i].home.taken,
			.dir_taken_nsec = table[i].home.taken_nsec,
		};
		struct place here = table[i].here;
		same(table[i].name, same_directory(&home, &here, table[i].same_kernel, table[i].skew_ms), table[i].want);
	}
}

static void programs(void)
{
	static const struct exec_head home = {
		.prog_dev = 1, .prog_ino = 2, .prog_size = 3, .prog_mtime_sec = 4, .prog_mtime_nsec = 5
	};
	static const struct {
		const char *name;
		struct file here;
		int same_kernel;
		enum program want;
	} table[] = {
		{ "one kernel, one file, rewritten meanwhile", { 1, 2, 9, 9, 9 }, 1, PROGRAM_SAME },
		{ "one kernel, another root, one package", { 8, 9, 3, 4, 5 }, 1, PROGRAM_SAME },
		{ "one kernel, another file", { 1, 9, 9, 4, 5 }, 1, PROGRAM_INODE },
		{ "one package on two machines", { 8, 9, 3, 4, 5 }, 0, PROGRAM_SAME },
		{ "equal inode numbers by chance", { 1, 2, 9, 4, 5 }, 0, PROGRAM_SIZE },
		{ "another time", { 8, 9, 3, 4, 6 }, 0, PROGRAM_TIME },
	};
	for (unsigned i = 0; i < sizeof table / sizeof *table; i++) {
		struct file here = table[i].here;
		same(table[i].name, same_program(&home, &here, table[i].same_kernel), table[i].want);
	}
}

int main(void)
{
	directories();
	programs();
	return failures != 0;
}
