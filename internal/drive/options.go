package drive

import (
	"fmt"
	"slices"
	"strings"

	"mexec/internal/repeat"
)

// options are ours. Everything else on a command line is the tool's.
type options struct {
	quiet         bool
	report, trace string // files; empty: none
	rerun         string // a repeat.Mode; empty: nothing was said
	explain       bool
	help, version bool
}

// option is one of them: by its name, with two dashes, or by a variable.
type option struct {
	name     string
	value    string // what it takes, as the usage names it; empty: nothing
	variable string // that does the same; for what takes no value, by 1
	make     rights // who has it on mpmake's command line
	set      func(o *options, value string) error
}

// rights on mpmake's command line, which is make's.
type rights uint8

const (
	makes  rights = iota // the option is make's, or nobody's
	shared               // make is given it too
	ours                 // make never sees it; its value is behind a =
	valued               // ours with a value behind a =, make's without
)

var table = []option{
	{"quiet", "", "MEXEC_QUIET", shared, func(o *options, _ string) error { o.quiet = true; return nil }},
	{"report", "FILE", "MEXEC_REPORT", ours, func(o *options, v string) error { o.report = v; return nil }},
	{"trace", "FILE", "MEXEC_TRACE", valued, func(o *options, v string) error { o.trace = v; return nil }},
	{"rerun", "MODE", rerunVariable, ours, func(o *options, v string) error { o.rerun = v; _, err := repeat.ParseMode(v); return err }},
	{"explain", "", "", makes, func(o *options, _ string) error { o.explain = true; return nil }},
	{"help", "", "", makes, func(o *options, _ string) error { o.help = true; return nil }},
	{"version", "", "", makes, func(o *options, _ string) error { o.version = true; return nil }},
}

// find splits a word into an option of ours and its value.
func find(word string) (opt option, value string, has, ok bool) {
	name, value, has := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	i := slices.IndexFunc(table, func(o option) bool { return o.name == name })
	if i < 0 || !strings.HasPrefix(word, "--") {
		return option{}, "", false, false
	}
	return table[i], value, has, true
}

// runOptions takes mprun's options from the front of its arguments, and leaves the tool and what is behind it.
func runOptions(args, environ []string) (o options, tool []string, err error) {
	if err := o.variables(environ); err != nil {
		return o, nil, err
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		word := args[0]
		args = args[1:]
		if word == "--" {
			break
		}
		opt, value, has, ok := find(word)
		switch {
		case !ok:
			return o, nil, fmt.Errorf("%s: no such option; the tool's own go behind its name", word)
		case opt.value == "" && has:
			return o, nil, fmt.Errorf("%s: --%s takes no value", word, opt.name)
		case opt.value != "" && !has:
			if len(args) == 0 {
				return o, nil, fmt.Errorf("--%s needs a %s", opt.name, opt.value)
			}
			value, args = args[0], args[1:]
		}
		if err := o.take(opt, value, "--"+opt.name); err != nil {
			return o, nil, err
		}
	}
	return o, args, nil
}

// makeOptions takes mpmake's options from among make's, and leaves those of make.
func makeOptions(args, environ []string) (o options, rest []string, err error) {
	if err := o.variables(environ); err != nil {
		return o, nil, err
	}
	for i := 0; i < len(args); i++ {
		word := args[i]
		if word == "--" {
			return o, append(rest, args[i:]...), nil
		}
		opt, value, has, ok := find(word)
		if ok && !has && opt.make == ours { // as mprun has it; make would say in fifty lines that it has no such option
			return o, nil, fmt.Errorf("--%s needs a %[2]s: --%[1]s=%[2]s", opt.name, opt.value)
		}
		if ok && has == (opt.value != "") && opt.make != makes {
			if err := o.take(opt, value, "--"+opt.name); err != nil {
				return o, nil, err
			}
			if opt.make != shared {
				continue
			}
		}
		rest = append(rest, word)
		if takesNext(word) && i+1 < len(args) {
			i++
			rest = append(rest, args[i])
		}
	}
	return o, rest, nil
}

func (o *options) variables(environ []string) error {
	for _, opt := range table {
		value := ""
		if opt.variable != "" {
			value = lookup(environ, opt.variable)
		}
		if value == "" || opt.value == "" && value != "1" {
			continue
		}
		if err := o.take(opt, value, opt.variable); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) take(opt option, value, said string) error {
	if opt.value != "" && value == "" {
		return fmt.Errorf("%s needs a %s", said, opt.value)
	}
	if err := opt.set(o, value); err != nil {
		return fmt.Errorf("%s=%s: %w", said, value, err)
	}
	return nil
}
