// What the files of the stage share. All of it runs in a process of its own, without malloc and without stdio.
#ifndef MEXEC_STAGE_H
#define MEXEC_STAGE_H

#include "frame.h"

#include <stddef.h>

enum { CHANNEL = 3, LOG = 4 }; // descriptors that the daemon hands to every stage; LOG where there is an environment setter

// A stage frame that has been read: pointers into it.
struct stage {
	const struct stage_head *head;
	struct exec_head exec; // a copy: the body has no alignment in the frame
	const uint32_t *groups;
	const char *envsetter, *cwd, *path;
	char **argv, **envp;
	uint32_t ndescriptors;
	uint32_t top; // above every number of the job's descriptors
	const char *descriptors;
};

// The job's descriptors that came with the frame, besides 0 to 2.
struct attached {
	int fds[EXEC_DESCRIPTORS];
	uint32_t count;
};

struct limit {
	uint64_t soft, hard;
};

// stage.c
extern int channel; // CHANNEL, or where it was moved out of a descriptor's way
int report(uint32_t step, int err, uint32_t detail); // -1 where the daemon is gone
_Noreturn void fail(uint32_t step, int err, uint32_t detail);
void *pages(uint64_t size, uint32_t step); // zeroed memory, or fail(step)
int aside(int fd, uint32_t step); // a new descriptor, or -1 with errno: high enough to be in nobody's way
char *vector(char **into, uint32_t count, char *strings, const char *end);
void dispositions(uint64_t touched, uint64_t ignored);
void mask(uint64_t blocked);

// stage_terminal.c
void take_terminal(void);
void take_foreground(void);

// stage_same.c: pure
struct place {
	uint64_t dev, ino, fs;
	int64_t ctime_sec;
	uint32_t ctime_nsec;
};
struct file {
	uint64_t dev, ino, size;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
};
enum directory { DIRECTORY_SAME, DIRECTORY_INODE, DIRECTORY_LOCAL, DIRECTORY_OLDER, DIRECTORY_CHANGED };
enum program { PROGRAM_SAME, PROGRAM_SIZE, PROGRAM_TIME, PROGRAM_INODE };
enum directory same_place(const struct seen *home, const struct place *here, int same_kernel, uint32_t skew_ms);
enum directory same_directory(const struct exec_head *home, const struct place *here, int same_kernel, uint32_t skew_ms);
enum program same_program(const struct exec_head *home, const struct file *here, int same_kernel);

// stage_scheduling.c
void note_scheduling(void);
void give_way(struct exec_head *exec, int nicer);
void set_scheduling(const struct exec_head *exec);
void set_special(const struct exec_head *exec);
void set_policy(const struct exec_head *exec);

// stage_files.c
extern struct attached attached;
char *parse_descriptors(struct stage *s, char *at, const char *end);
void make_room(const struct stage *s, struct limit *l);
void place_descriptors(struct stage *s);

// stage_env.c
void set_environment(struct stage *s);
int resume(char **envp);

// supervise.c
extern int started; // the job's end of the pipe that tells its supervisor about execve, or -1
void supervise(int terminal);

// forkserver.c
void forkserver(void); // returns in each stage

// guard.c
int guard(const char *dir);

#endif
