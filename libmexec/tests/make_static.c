// A make that no library can be loaded into. It says what it was called, and whether it has what drivers are told.
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		printf("[%s] ", argv[i]);
	puts(getenv("MEXEC_DRIVER") != NULL ? "told" : "not told");
	return 7;
}
