// What sched_getattr and sched_setattr take, for C libraries that do not have it.
#ifndef MEXEC_SCHED_ATTR_H
#define MEXEC_SCHED_ATTR_H

#include <stdint.h>

// sched_attr(2type) of Linux 3.14.
struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t deadline[3];
};

enum { CPU_WORDS = 1024 / 64 }; // a kernel with more CPUs says EINVAL

#endif
