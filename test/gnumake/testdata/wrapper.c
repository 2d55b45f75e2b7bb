// The make under test: settings that the suite would have taken out of the environment, then the make itself, by the name that this one
// was called by. No shell script, for a shell adds variables of its own.
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static char *const settings[] = {SETTINGS NULL};
	(void)argc;
	for (char *const *s = settings; *s != NULL; s++)
		putenv(*s);
	execv(REAL, argv);
	return 127;
}
