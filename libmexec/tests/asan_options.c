// ASan would set a limit and handlers of its own, which the tests look at. Programs that are given their environment to the byte
// cannot be told so by it.
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "disable_coredump=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0:detect_leaks=0";
}
