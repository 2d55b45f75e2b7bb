// Whether execve would surely succeed.
//
// Once the stub has taken a process's place, execve's errno can't reach the caller any more. So only what surely succeeds may go behind the
// stub; of all else nothing is claimed, and the caller turns to execve itself. A false no costs a command its journey, a false yes
// costs the caller the truth: what is doubtful is a no, such as formats that only some kernels know (binfmt_misc).
//
// No allocation, no lock, no write to anything but the stack and errno: the preload asks inside vfork's child.
#ifndef MEXEC_SURE_H
#define MEXEC_SURE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

// sure_arguments counts the arguments, of which there is at least one, and says whether they and the environment are within execve's
// limits even with what the stub adds.
bool sure_arguments(char *const argv[], char *const envp[], size_t *argc);

enum { LONGEST_INTERPRETER = 256 }; // BINPRM_BUF_SIZE; it also bounds the names of loaders here

// sure_program says whether path is a program, or a script with one, that can be executed now. probe has said that the file
// itself may be, and filled st; the arguments are sure. Of a script, interpreter is what its own first line names, and else empty. escapes becomes whether
// no library can come between what runs in the end and its system calls: it is static, or Go's. Both may be NULL.
bool sure_program(const char *path, const struct stat *st, char *const argv[], char *const envp[], char *interpreter, bool *escapes);

// probe_through is probe, and that of the interpreter or the loader which the program names, and so on.
int probe_through(const char *path, struct stat *st);

#endif
