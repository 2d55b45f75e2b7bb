package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// readFile gives the values of a file in the order of its lines. A missing file is an error only if somebody named it.
func readFile(path string, must bool) ([]value, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil, nil
	}
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, fmt.Errorf("config %s: %w", path, err)
	}
	return parseFile(path, string(data))
}

type numbered struct {
	line int
	value
}

func parseFile(path, data string) ([]value, error) {
	var doc map[string]any
	md, err := toml.Decode(data, &doc)
	if err != nil {
		var p toml.ParseError
		if errors.As(err, &p) {
			return nil, fmt.Errorf("config %s:%d: %s", path, p.Position.Line, oneLine(p.Message))
		}
		return nil, fmt.Errorf("config %s: %s", path, oneLine(err.Error()))
	}
	var found []numbered
	done := make(map[string]bool)
	for _, key := range md.Keys() {
		name := key[0] // a longer key is in a table, which no setting is
		if done[name] {
			continue
		}
		done[name] = true
		line := lineOf(data, name)
		where := fmt.Sprintf("%s:%d", path, line)
		s := lookup(name)
		if s == nil || name == "config" {
			return nil, fmt.Errorf("config %s: %.60q: unknown", where, name)
		}
		texts, err := s.texts(doc[name])
		if err != nil {
			return nil, fmt.Errorf("config %s: %s: %w", where, name, err)
		}
		for _, t := range texts {
			found = append(found, numbered{line, value{name, t, where}})
		}
	}
	slices.SortStableFunc(found, func(a, b numbered) int { return a.line - b.line })
	var layer []value
	for _, n := range found {
		layer = append(layer, n.value)
	}
	return layer, nil
}

// texts turns a TOML value of the setting's kind into what the same setting's flag would be given.
func (s *setting) texts(v any) ([]string, error) {
	switch v := v.(type) {
	case string:
		if s.kind == text {
			return []string{v}, nil
		}
	case int64:
		if s.kind == number {
			return []string{strconv.FormatInt(v, 10)}, nil
		}
	case bool:
		if s.kind == boolean {
			return []string{strconv.FormatBool(v)}, nil
		}
	case []any:
		if !s.list {
			break
		}
		texts := []string{""} // an empty list overrides too
		for _, one := range v {
			t, ok := one.(string)
			if !ok {
				return nil, fmt.Errorf("%v: not a string", one)
			}
			texts = append(texts, t)
		}
		return texts, nil
	}
	return nil, fmt.Errorf("must be %s", s.sort())
}

func (s *setting) sort() string {
	switch {
	case s.list:
		return "a list of strings"
	case s.kind == number:
		return "a number"
	case s.kind == boolean:
		return "true or false"
	}
	return "a string"
}

// lineOf finds where a key stands: the TOML package tells only the lines of its own errors. The file is flat, so the first line
// that begins with the key is it; a dotted key or a table begins with it too.
func lineOf(data, key string) int {
	n := 0
	for line := range strings.Lines(data) {
		n++
		line = strings.TrimLeft(line, " \t[\"'")
		rest, ok := strings.CutPrefix(line, key)
		if ok && (rest == "" || strings.ContainsAny(rest[:1], " \t=.\"']")) {
			return n
		}
	}
	return 1
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
