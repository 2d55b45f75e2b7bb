// The command line. getopt is no choice: musl's brings stdio with it, which would double the stub.
#include <string.h>
#include <unistd.h>

#include "stub.h"

static const char usage[] = "usage: mexec [options] CMD [ARG...]\n";

static const char help[] =
	"Run CMD on the best node of the cluster, exactly as if it had been executed here.\n"
	"\n"
	"  -n NODES     only on these nodes: numbers, ranges, names, labels (1-3,node[8-11],label:gpu); default $NODES\n"
	"  -a ARGV0     give CMD this name as its argument 0\n"
	"  -p           CMD is a pathname: do not look for it along PATH\n"
	"  -v           say on stderr where CMD runs and why\n"
	"  --no-stdin   let CMD read end of file\n"
	"  --rerun=MODE run CMD again where its node is lost: never (default), safe, slow, always\n"
	"  -h, --help   this text\n"
	"  --version    the version\n"
	"  --           end of the options\n"
	"\n"
	"The exit status is CMD's own, and mexec dies of the signal that CMD died of.\n"
	"125: mexec lost CMD. 126: CMD cannot be executed. 127: there is no CMD.\n"
	"Without a daemon CMD runs here.\n";

static _Noreturn void tell(const char *text, size_t length)
{
	_exit(write(1, text, length) == (ssize_t)length ? 0 : 1);
}

static _Noreturn void refuse(const char *what, const char *option)
{
	say("mexec: ", what, option, NULL);
	_exit(STATUS_USAGE);
}

bool rerun_flags(const char *word, uint32_t *flags)
{
	if (strcmp(word, "never") == 0)
		*flags = 0;
	else if (strcmp(word, "safe") == 0)
		*flags = EXEC_RERUN_SAFE;
	else if (strcmp(word, "slow") == 0)
		*flags = EXEC_RERUN_SAFE | EXEC_RERUN_SLOW;
	else if (strcmp(word, "always") == 0)
		*flags = EXEC_RERUN_ALWAYS;
	else
		return false;
	return true;
}

static void long_option(struct options *o, const char *option)
{
	static const char rerun[] = "--rerun=";
	if (strcmp(option, "--no-stdin") == 0) {
		o->no_stdin = true;
	} else if (strncmp(option, rerun, sizeof(rerun) - 1) == 0) {
		if (!rerun_flags(option + sizeof(rerun) - 1, &o->rerun))
			refuse("not never, safe, slow or always: ", option);
		o->chosen = true;
	} else if (strcmp(option, "--rerun") == 0) { // as mprun takes it
		refuse("=MODE is missing after ", option);
	} else if (strcmp(option, "--help") == 0) {
		static char text[sizeof(usage) + sizeof(help)];
		memcpy(text, usage, sizeof(usage) - 1);
		memcpy(text + sizeof(usage) - 1, help, sizeof(help) - 1);
		tell(text, sizeof(usage) + sizeof(help) - 2);
	} else if (strcmp(option, "--version") == 0) {
		tell("mexec " MEXEC_VERSION "\n", sizeof("mexec " MEXEC_VERSION));
	} else {
		refuse("unknown option ", option);
	}
}

struct options parse_options(char **argv)
{
	struct options o = {0};
	if (*argv != NULL)
		argv++;
	for (; *argv != NULL && argv[0][0] == '-' && argv[0][1] != '\0'; argv++) {
		if (argv[0][1] == '-') {
			if (argv[0][2] == '\0') {
				argv++;
				break;
			}
			long_option(&o, *argv);
			continue;
		}
		for (const char *c = *argv + 1; *c != '\0'; c++) {
			char name[] = {'-', *c, '\0'};
			switch (*c) {
			case 'v':
				o.verbose = true;
				continue;
			case 'p':
				o.pathname = true;
				continue;
			case 't': // for the preload alone
				o.traced = o.pathname = true;
				continue;
			case 'h':
				long_option(&o, "--help");
				continue;
			case 'n':
			case 'a': {
				const char *value = c[1] != '\0' ? c + 1 : *++argv;
				if (value == NULL)
					refuse("a value is missing after ", name);
				*(*c == 'n' ? &o.nodes : &o.argv0) = value;
				break;
			}
			default:
				refuse("unknown option ", name);
			}
			break; // the value was the rest of this argument
		}
	}
	if (*argv == NULL) {
		say(usage, NULL);
		_exit(STATUS_USAGE);
	}
	o.command = argv;
	return o;
}
