package jobserver

import (
	"bytes"
	"strconv"
	"strings"
)

// Auth is the jobserver that MAKEFLAGS names.
type Auth struct {
	Fifo        string // "" for a pipe
	Read, Write int    // descriptors of a pipe

	from, to int // where the fifo's path stands, as it is written there
}

// variables are where clients look: make and ninja in the first, cargo's children in any, in some order.
var variables = []string{"MAKEFLAGS", "CARGO_MAKEFLAGS", "MFLAGS"}

// The names of the option: since make 4.2, and before.
var options = []string{"--jobserver-auth=", "--jobserver-fds="}

// Parse finds the jobserver in a value of MAKEFLAGS. Its last option counts; a negative descriptor switches it off, as make 4.4 does for what is
// not recursive. After a word "--" stand variables, whose values are anybody's text. false: there is none.
func Parse(flags string) (a Auth, ok bool) {
	for at := 0; at < len(flags); {
		if flags[at] == ' ' || flags[at] == '\t' {
			at++
			continue
		}
		end := wordEnd(flags, at)
		word := flags[at:end]
		if word == "--" {
			break
		}
		for _, name := range options {
			if value, is := strings.CutPrefix(word, name); is {
				a, ok = parseAuth(value)
				a.from, a.to = end-len(value)+len("fifo:"), end
			}
		}
		at = end
	}
	return a, ok
}

// Named tells whether flags name a jobserver, be it one that is switched off: whoever has put it there owns the jobs.
func Named(flags string) bool {
	for _, word := range words(flags) {
		for _, name := range options {
			if strings.HasPrefix(word, name) {
				return true
			}
		}
	}
	return false
}

// With returns flags with one more option behind the others, which counts.
func With(flags, option string) string {
	at := 0
	for _, word := range words(flags) {
		at += strings.Index(flags[at:], word) + len(word)
	}
	return flags[:at] + " " + option + flags[at:]
}

// words are the options in a value of MAKEFLAGS, as they are written there, up to the word "--".
func words(flags string) (words []string) {
	for at := 0; at < len(flags); {
		if flags[at] == ' ' || flags[at] == '\t' {
			at++
			continue
		}
		end := wordEnd(flags, at)
		if flags[at:end] == "--" {
			break
		}
		words = append(words, flags[at:end])
		at = end
	}
	return words
}

// wordEnd is where the word that begins at `at` ends: at a blank that no backslash protects.
func wordEnd(s string, at int) int {
	for ; at < len(s) && s[at] != ' ' && s[at] != '\t'; at++ {
		if s[at] == '\\' && at+1 < len(s) {
			at++
		}
	}
	return at
}

func parseAuth(value string) (Auth, bool) {
	if path, is := strings.CutPrefix(value, "fifo:"); is {
		return Auth{Fifo: unquote(path)}, path != ""
	}
	r, w, two := strings.Cut(value, ",")
	read, err := strconv.Atoi(r)
	write, werr := strconv.Atoi(w)
	return Auth{Read: read, Write: write}, two && err == nil && werr == nil && read >= 0 && write >= 0
}

func unquote(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// Find finds the jobserver in an environment as an exec body has it: strings that each end in NUL. The first variable that names one counts.
func Find(env []byte) (Auth, bool) {
	for _, name := range variables {
		if from, to := variable(env, name); from >= 0 {
			if a, ok := Parse(string(env[from:to])); ok {
				return a, true
			}
		}
	}
	return Auth{}, false
}

// Rewrite returns env with the path of the fifo replaced wherever a jobserver option that counts names it. All else stays to the byte; env itself is not
// changed. The new path must need no quoting.
func Rewrite(env []byte, fifo, path string) []byte {
	for _, name := range variables {
		from, to := variable(env, name)
		if from < 0 {
			continue
		}
		if a, ok := Parse(string(env[from:to])); ok && a.Fifo == fifo {
			env = bytes.Join([][]byte{env[:from+a.from], []byte(path), env[from+a.to:]}, nil)
		}
	}
	return env
}

// variable finds the value of the first variable of a name, -1 if there is none.
func variable(env []byte, name string) (from, to int) {
	for at := 0; at < len(env); {
		end := at + bytes.IndexByte(env[at:], 0)
		if end < at {
			break
		}
		if n := at + len(name); n < end && env[n] == '=' && string(env[at:n]) == name {
			return n + 1, end
		}
		at = end + 1
	}
	return -1, -1
}
