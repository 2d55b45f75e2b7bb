package repeat

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Compilers of the families of GCC and Clang, and what they call: with the name of a target before and a version behind.
var compiler = regexp.MustCompile(`^([\w.+-]+-)?(cc|gcc|g\+\+|c\+\+|c89|c99|clang|clang\+\+|cpp|as|gfortran|flang|f77|f95|gdc)(-[0-9.]+)?$`)

func isCompiler(name string) bool { return compiler.MatchString(name) }

// disturbed tells whether the environment makes compilers do what their arguments do not say: append dependencies to a file, or
// take other arguments.
func (c Command) disturbed() bool {
	return slices.ContainsFunc(c.Env, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains([]string{"DEPENDENCIES_OUTPUT", "SUNPRO_DEPENDENCIES", "CCC_OVERRIDE_OPTIONS"}, name)
	})
}

// makesOne tells whether the words are a compiler that makes one named file (-o) by one step (-c, -S or -E), and which files it makes. Files
// beside it (-MD -MF) are as new with each run. Not where another program joins in (a plugin, a wrapper, specs), nor with a
// response file, which nobody here has read, or with a file of times that GCC appends to.
func makesOne(words []string) (made []string, ok bool) {
	words = unwrap(words)
	if len(words) == 0 || !isCompiler(path.Base(words[0])) {
		return nil, false
	}
	steps, outputs := 0, 0
	for i := 1; i < len(words); i++ {
		w := words[i]
		value := func(option string) (string, bool) { // behind it, or the next word
			if v := strings.TrimPrefix(w, option); v != "" {
				return v, true
			}
			i++
			if i == len(words) {
				return "", false
			}
			return words[i], true
		}
		switch {
		case w == "-c" || w == "-S" || w == "-E":
			steps++
		case strings.HasPrefix(w, "-o"):
			file, ok := value("-o")
			if !ok || !isFile(file) {
				return nil, false
			}
			made = append(made, file)
			outputs++
		case strings.HasPrefix(w, "-MF"):
			file, ok := value("-MF")
			if !ok || !isFile(file) {
				return nil, false
			}
			made = append(made, file)
		case slices.Contains(valued, w):
			i++
		case strings.HasPrefix(w, "@"), strings.HasPrefix(w, "--output"), strings.HasPrefix(w, "-time="), slices.ContainsFunc(foreign, func(p string) bool { return strings.HasPrefix(w, p) }):
			return nil, false
		}
	}
	name := compiler.FindStringSubmatch(path.Base(words[0]))[2]
	return made, outputs == 1 && (steps == 1 || name == "as" || name == "cpp")
}

// isFile refuses what a run does not make anew.
func isFile(name string) bool {
	return name != "-" && (name == "/dev/null" || !strings.HasPrefix(name, "/dev/") && !strings.HasPrefix(name, "/proc/"))
}

// Options whose value is the next word, which is then no option.
var valued = []string{"-MT", "-MQ", "-I", "-D", "-U", "-L", "-x", "-include", "-imacros", "-isystem", "-iquote", "-idirafter", "-isysroot", "-iprefix",
	"-iwithprefix", "-target", "-arch", "-Xpreprocessor", "-Xassembler", "-Xlinker", "--param", "-u", "-T", "-z"}

// Options by which other programs join in. Those of -Xclang are words of their own.
var foreign = []string{"-wrapper", "-specs", "--specs", "-fplugin", "-fpass-plugin", "-fmodule-mapper", "-load", "-plugin", "-add-plugin", "-cc1", "--config"}

// unwrap takes away what only stands before a compiler: ccache, distcc, and libtool when it compiles.
func unwrap(words []string) []string {
	for range 2 {
		if len(words) > 1 && slices.Contains(shells, path.Base(words[0])) && isLibtool(words[1]) {
			words = words[1:]
		}
		switch name := path.Base(words[0]); {
		case len(words) > 1 && (name == "ccache" || name == "distcc") && !strings.HasPrefix(words[1], "-"):
			words = words[1:]
		case isLibtool(name):
			compiles := false
			words = words[1:]
			for len(words) > 0 && strings.HasPrefix(words[0], "-") {
				compiles = compiles || words[0] == "--mode=compile"
				words = words[1:]
			}
			if !compiles || len(words) == 0 {
				return nil
			}
		}
	}
	return words
}

func isLibtool(word string) bool {
	name := path.Base(word)
	return name == "libtool" || strings.HasSuffix(name, "-libtool")
}
