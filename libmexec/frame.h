// The exec body, the local frames and the stage frame, as PROTOCOL.md has them.
// Little-endian machines only: the structures below are the bytes.
#ifndef MEXEC_FRAME_H
#define MEXEC_FRAME_H

#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the local protocol is little-endian"
#endif

enum {
	FRAME_MAGIC = 0x584d, // "MX"
	FRAME_VERSION = 1,
	FRAME_MAX_EXEC = 8 << 20,
	FRAME_MAX = 64 << 10,
};

struct frame {
	uint16_t magic;
	uint8_t version;
	uint8_t type;
	uint32_t length;
};

enum frame_type {
	FRAME_EXEC = 1,
	FRAME_SIGNAL = 2,
	FRAME_QUERY = 3,
	FRAME_HERE = 16,
	FRAME_SENT = 17,
	FRAME_EXITED = 18,
	FRAME_KILLED = 19,
	FRAME_STOPPED = 20,
	FRAME_FAILED = 21,
	FRAME_REPLY = 22,
	FRAME_WAITING = 23,
	FRAME_CLOSED = 24,
};

enum exec_flags {
	EXEC_VERBOSE = 1,
	EXEC_NO_STDIN = 2,
	EXEC_NO_NEW_PRIVS = 4,
	EXEC_DRIVER = 8,
	EXEC_RERUN_SAFE = 16,
	EXEC_RERUN_ALWAYS = 32,
	EXEC_RERUN_SLOW = 64, // with SAFE
};

enum {
	EXEC_RLIMITS = 16,
	EXEC_DESCRIPTORS = 240, // above 2: with those below and ours, one SCM_RIGHTS takes them (253)
};

enum exec_sched_flags { EXEC_RESET_ON_FORK = 1 };

enum exec_special { EXEC_CAPABILITIES = 1, EXEC_SUBREAPER = 2, EXEC_NO_HUGE_PAGES = 4 };

struct exec_head {
	uint32_t head_len;
	uint32_t flags;
	uint32_t fds;
	uint32_t umask;
	int32_t nice;
	uint32_t pgid;
	uint64_t sigign;
	uint64_t sigblk;
	uint32_t uid[3];
	uint32_t gid[3];
	uint64_t rlimit[EXEC_RLIMITS][2];
	uint64_t dir_dev;
	uint64_t dir_ino;
	int64_t dir_ctime_sec;
	uint32_t dir_ctime_nsec;
	uint32_t dir_taken_nsec;
	int64_t dir_taken_sec;
	uint64_t dir_fs;
	uint64_t prog_dev;
	uint64_t prog_ino;
	uint64_t prog_size;
	int64_t prog_mtime_sec;
	uint32_t prog_mtime_nsec;
	uint32_t prog_mode;
	uint64_t prog_fs;
	uint32_t ngroups;
	uint32_t argc;
	uint32_t envc;
	uint32_t cwd_len;
	uint32_t path_len;
	uint32_t nodes_len;
	uint32_t build_len;
	uint32_t strings_len;
	uint32_t ppid;
	uint8_t sched_policy;
	uint8_t sched_priority;
	uint8_t sched_flags;
	uint8_t securebits;
	uint16_t ioprio;
	int16_t oom_score_adj;
	uint32_t personality;
	uint32_t timer_slack;
	uint16_t cpus;
	uint16_t special;
	uint32_t ndescriptors; // above 2, their numbers follow the groups
	uint32_t unsent;       // so many are open above 2, and that is too many
	uint32_t repeat_len;
	uint32_t zero;
	uint64_t kind;
};
_Static_assert(sizeof(struct exec_head) == 496, "the exec body's fixed part is 496 bytes");

enum stage_flags {
	STAGE_SET_IDS = 1,
	STAGE_CHECK_PROGRAM = 2,
	STAGE_SAME_KERNEL = 4,
	STAGE_ENVSETTER = 8,
	STAGE_SUPERVISE = 16,
	STAGE_CHECK_DIRECTORY = 32,
	STAGE_TERMINAL = 64,
	STAGE_DESCRIPTORS = 1024,
};

// The highest byte of the flags: by how much the job is nicer than its caller has it; 20: it runs when nothing else does.
enum { STAGE_NICER = 24, STAGE_IDLE = 20 };

struct stage_head {
	uint32_t length;
	uint32_t flags;
	uint32_t uid;
	uint32_t gid;
	uint32_t ngroups;
	uint32_t closed;
	uint32_t envsetter_len;
	uint32_t skew_ms;
	uint64_t ignored;
};
_Static_assert(sizeof(struct stage_head) == 40, "the stage frame's fixed part is 40 bytes");

struct record {
	uint32_t step;
	uint32_t err;
	uint32_t detail;
	uint32_t zero;
};

enum step {
	STEP_FRAME = 1,
	STEP_RLIMIT,
	STEP_NICE,
	STEP_GROUPS,
	STEP_IDS,
	STEP_CWD,
	STEP_DIRECTORY,
	STEP_PROGRAM,
	STEP_ENVSETTER,
	STEP_EXEC,
	STEP_READY,
	STEP_CHILD,
	STEP_STATUS,
	STEP_STOPPED,
	STEP_CONTINUED,
	STEP_TERMINAL = 16,
	STEP_SCHEDULING = 24,
	STEP_DESCRIPTOR = 32,
	STEP_OPENED,
};

// A file as it was seen at a moment.
struct seen {
	uint64_t dev, ino, fs;
	int64_t ctime_sec, taken_sec;
	uint32_t ctime_nsec, taken_nsec;
};

// One of the job's descriptors, in the stage frame; its path follows.
struct stage_descriptor {
	uint32_t number;
	uint32_t kind;
	uint32_t flags;
	uint32_t same;
	uint32_t mode;
	uint32_t path_len;
	uint64_t rdev;
	int64_t offset;
	struct seen seen;
};
_Static_assert(sizeof(struct stage_descriptor) == 88, "an entry of the stage frame's descriptors is 88 bytes");

enum descriptor_kind { DESCRIPTOR_FILE = 1, DESCRIPTOR_ATTACHED, DESCRIPTOR_SAME };

// What a scheduling step works on.
enum scheduling { SCHEDULING_POLICY = 1, SCHEDULING_IOPRIO, SCHEDULING_OOM, SCHEDULING_PERSONALITY, SCHEDULING_SLACK, SCHEDULING_CPUS };

struct request {
	uint32_t op;
	uint32_t sig;
};

enum request_op { REQUEST_SIGNAL = 1, REQUEST_SIGNAL_GROUP = 2, REQUEST_KILL = 3 };

#endif
