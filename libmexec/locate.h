// Where the stub is, for a program that is linked with libmexec.
#ifndef MEXEC_LOCATE_H
#define MEXEC_LOCATE_H

#include <stddef.h>

struct stub_name {
	const char *at; // not ended by a NUL
	size_t length;
};

// locate_stub goes by the command's own environment, as everything does that concerns a command: the driver's stub (MEXEC_DRIVER), the one
// that MEXEC_STUB names, the installed one. Nothing is looked for along PATH: a mexec that happens to lie there may be anything.
struct stub_name locate_stub(char *const envp[]);

#endif
