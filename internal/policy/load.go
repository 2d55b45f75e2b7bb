package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
)

const (
	// Machine is the file for all that is built on a machine; Project, for what lies in and below its directory.
	Machine = "/etc/mexec/policy.toml"
	Project = ".mexec.toml"
)

// file is the form of both.
type file struct {
	Local  patterns // stays on this node
	Drive  patterns // stays, and what it starts travels
	Travel patterns // travels, though a weaker file says otherwise
	Whole  patterns // travels, as mprun's tool too
	Repeat patterns // may run twice
}

type patterns []string

const noList = "must be a list of strings"

// UnmarshalTOML is here for the words: those of package toml are about Go's types.
func (p *patterns) UnmarshalTOML(v any) error {
	list, ok := v.([]any)
	for _, one := range list {
		text, is := one.(string)
		*p, ok = append(*p, text), ok && is
	}
	if !ok {
		return errors.New(noList)
	}
	return nil
}

// Load reads the project's file, looked for in dir and then in each directory above, and the machine's. Neither needs to exist. An error is one
// line that names the place.
func Load(dir, machine string) (Policy, error) {
	var p Policy
	for at := dir; ; at = filepath.Dir(at) {
		rules, err := read(filepath.Join(at, Project))
		if err == nil {
			p = rules
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	rules, err := read(machine)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return append(append(p, rules...), Own()...), nil
}

func read(name string) (Policy, error) {
	var f file
	meta, err := toml.DecodeFile(name, &f)
	if syntax, ok := errors.AsType[toml.ParseError](err); ok {
		if syntax.Message == noList { // of other errors the last key may be the one before
			syntax.Message = syntax.LastKey + ": " + noList
		}
		return nil, fmt.Errorf("policy %s:%d: %s", name, syntax.Position.Line, syntax.Message)
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", name, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("policy %s: %s: no such setting; there are local, drive, travel, whole and repeat", name, unknown[0])
	}
	var p Policy
	for _, list := range []struct {
		verdict  Verdict
		patterns patterns
	}{{Travels, f.Travel}, {Whole, f.Whole}, {Drives, f.Drive}, {Stays, f.Local}, {Repeats, f.Repeat}} {
		for _, pattern := range list.patterns {
			if program, argument, only := strings.Cut(pattern, " "); program == "" || only && argument == "" ||
				strings.Contains(program, "/") || strings.ContainsAny(argument, " ") || strings.ContainsAny(pattern, "\t\n\x00") {
				return nil, fmt.Errorf("policy %s: %q: a pattern is a program's name without its directory, and maybe a blank and one argument; * stands for any text", name, pattern)
			}
			if list.verdict == Repeats && strings.Contains(pattern, " ") {
				return nil, fmt.Errorf("policy %s: repeat: %q: a pattern is here a program's name alone, where * stands for any text", name, pattern)
			}
			p = append(p, Rule{list.verdict, pattern, name})
		}
	}
	return p, nil
}
