package trace

import (
	"bytes"
	"strings"
)

const (
	firstLine = 256 // BINPRM_BUF_SIZE
	scripts   = 5   // that may call each other
)

// scriptArguments says how many arguments the kernel has put in front of a program's own because it is a script: of each script its interpreter, and one
// more where the first line has more, in place of its first argument, which becomes the script's name. program is the file that runs in the end.
// head reads the beginning of a file.
func scriptArguments(path string, head func(path string) ([]byte, error)) (n int, program string, err error) {
	for range scripts + 1 {
		b, err := head(path)
		if err != nil {
			return 0, "", err
		}
		interpreter, option, ok := parseFirstLine(b)
		if !ok {
			return n, path, nil
		}
		n++
		if option {
			n++
		}
		path = interpreter
	}
	return n, path, nil
}

// parseFirstLine is load_script of fs/binfmt_script.c.
func parseFirstLine(b []byte) (interpreter string, option, ok bool) {
	b = b[:min(len(b), firstLine)]
	if !bytes.HasPrefix(b, []byte("#!")) {
		return "", false, false
	}
	line, _, _ := strings.Cut(string(b[2:]), "\n")
	line, _, _ = strings.Cut(line, "\x00")
	line = strings.Trim(line, " \t")
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		return line, false, line != ""
	}
	return line[:end], true, true
}
