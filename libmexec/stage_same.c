// Is this the caller's directory or open file, and is this its program? Pure: what was seen here against what the caller saw.
#include "stage.h"

// File systems that only one machine can have mounted. A type that is not listed may be shared.
static int local(uint64_t fs)
{
	static const uint32_t types[] = {
		0x0000ef53, // ext2, ext3, ext4
		0x58465342, // xfs
		0x9123683e, // btrfs
		0x01021994, // tmpfs
		0x858458f6, // ramfs
		0xf2f52010, // f2fs
		0x794c7630, // overlayfs
		0x73717368, // squashfs
		0xe0f5e1e2, // erofs
		0x2fc12fc1, // zfs
		0xca451a4e, // bcachefs
		0x52654973, // reiserfs
		0x3153464a, // jfs
		0x00003434, // nilfs2
		0x00004d44, // vfat
		0x2011bab0, // exfat
		0x7366746e, // ntfs3
		0x00009660, // iso9660
		0x15013346, // udf
		0x00009fa0, // proc
		0x62656572, // sysfs
	};
	for (unsigned i = 0; i < sizeof types / sizeof *types; i++)
		if ((uint32_t)fs == types[i])
			return 1;
	return 0;
}

static int compare(int64_t sec1, int64_t nsec1, int64_t sec2, int64_t nsec2)
{
	if (sec1 != sec2)
		return sec1 < sec2 ? -1 : 1;
	return nsec1 < nsec2 ? -1 : nsec1 > nsec2;
}

// On one kernel, device and inode number say it all. Between two, device numbers mean nothing, and equal inode numbers occur by chance:
// the time of the last change must agree too. The side that is local while the other is not may be the file server itself.
//
// A later change here is not always another directory: the caller's make may have written there since the caller looked. That is believed
// only of a change after that look, give or take the clocks and the second that a file server's clock may be late in its own ticks.
enum directory same_place(const struct seen *home, const struct place *here, int same_kernel, uint32_t skew_ms)
{
	if (same_kernel)
		return here->dev == home->dev && here->ino == home->ino ? DIRECTORY_SAME : DIRECTORY_INODE;
	if (local(home->fs) && local(here->fs))
		return DIRECTORY_LOCAL;
	if (here->ino != home->ino)
		return DIRECTORY_INODE;

	int order = compare(here->ctime_sec, here->ctime_nsec, home->ctime_sec, home->ctime_nsec);
	if (order == 0)
		return DIRECTORY_SAME;
	if (order < 0)
		return DIRECTORY_OLDER;
	int64_t sec = home->taken_sec - 1 - skew_ms / 1000;
	int64_t nsec = (int64_t)home->taken_nsec - skew_ms % 1000 * 1000000ll;
	if (nsec < 0) {
		sec--;
		nsec += 1000000000;
	}
	return compare(here->ctime_sec, here->ctime_nsec, sec, nsec) >= 0 ? DIRECTORY_SAME : DIRECTORY_CHANGED;
}

enum directory same_directory(const struct exec_head *home, const struct place *here, int same_kernel, uint32_t skew_ms)
{
	struct seen dir = {
		.dev = home->dir_dev,
		.ino = home->dir_ino,
		.fs = home->dir_fs,
		.ctime_sec = home->dir_ctime_sec,
		.ctime_nsec = home->dir_ctime_nsec,
		.taken_sec = home->dir_taken_sec,
		.taken_nsec = home->dir_taken_nsec,
	};
	return same_place(&dir, here, same_kernel, skew_ms);
}

// The files of one package have equal sizes and times on all machines of one release, and other inodes.
enum program same_program(const struct exec_head *home, const struct file *here, int same_kernel)
{
	if (same_kernel && here->dev == home->prog_dev && here->ino == home->prog_ino)
		return PROGRAM_SAME;
	int size = here->size == home->prog_size;
	int time = here->mtime_sec == home->prog_mtime_sec && here->mtime_nsec == home->prog_mtime_nsec;
	if (size && time)
		return PROGRAM_SAME;
	if (same_kernel)
		return PROGRAM_INODE;
	return size ? PROGRAM_TIME : PROGRAM_SIZE;
}
