// The shim's entry in LD_PRELOAD, which a command does not have.
#ifndef MEXEC_LEAVE_H
#define MEXEC_LEAVE_H

// leave_list takes our entries out of a list that ld.so separates at colons and blanks; all other bytes stay.
void leave_list(char *list);

#endif
