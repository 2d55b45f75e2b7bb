#ifndef PROBE_H
#define PROBE_H

// perform does what PROBE says and returns the exit status.
int perform(const char *act);

#endif
