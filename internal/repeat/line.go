package repeat

import "strings"

// simple is one command of a shell's line: its words as the program gets them.
type simple struct {
	words  []string
	writes bool // > a file
}

// parse reads a shell's line that is simple commands joined by && or ;. It knows quotes, backslashes and redirections that make a file anew, read
// one, or join two outputs. All else is no line for it: pipes, ||, &, >>, variables, substitutions, patterns, groups, assignments, comments,
// functions. It is no shell, and need not be: a no costs a rerun.
func parse(line string) (list []simple, ok bool) {
	p := scanner{rest: line}
	for {
		s, ok := p.command()
		if !ok {
			return nil, false
		}
		list = append(list, s)
		switch {
		case p.rest == "":
			return list, true
		case strings.HasPrefix(p.rest, "&&"):
			p.rest = p.rest[2:]
		case p.rest[0] == ';' && !strings.HasPrefix(p.rest, ";;"):
			p.rest = p.rest[1:]
			p.blanks()
			if p.rest == "" { // as after the last of a line
				return list, true
			}
		default:
			return nil, false
		}
	}
}

// scanner is what is left of a line.
type scanner struct{ rest string }

func (p *scanner) blanks() {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t")
		rest, joined := strings.CutPrefix(p.rest, "\\\n") // a line that goes on
		if !joined {
			return
		}
		p.rest = rest
	}
}

// command reads one command up to what separates it from the next.
func (p *scanner) command() (s simple, ok bool) {
	for {
		p.blanks()
		if p.rest == "" || p.rest[0] == '&' || p.rest[0] == ';' {
			return s, len(s.words) > 0
		}
		if d := strings.TrimLeft(p.rest, "012"); d != "" && (d[0] == '<' || d[0] == '>') && len(p.rest)-len(d) <= 1 {
			p.rest = d
			writes, ok := p.redirection()
			if !ok {
				return s, false
			}
			s.writes = s.writes || writes
			continue
		}
		from := p.rest
		word, ok := p.word()
		if !ok {
			return s, false
		}
		plain := from[:len(from)-len(p.rest)]
		number := strings.Trim(plain, "0123456789") == "" && p.rest != "" && strings.IndexByte("<>", p.rest[0]) >= 0 // of a descriptor
		if number || len(s.words) == 0 && strings.Contains(plain, "=") {
			return s, false
		}
		s.words = append(s.words, word)
	}
}

// redirection reads one of < FILE, > FILE and >&1.
func (p *scanner) redirection() (writes, ok bool) {
	out := p.rest[0] == '>'
	p.rest = p.rest[1:]
	if digit, joined := strings.CutPrefix(p.rest, "&"); out && joined {
		if digit == "" || digit[0] != '1' && digit[0] != '2' || len(digit) > 1 && !strings.ContainsRune(" \t;&", rune(digit[1])) {
			return false, false
		}
		p.rest = digit[1:]
		return false, true
	}
	p.blanks()
	file, ok := p.word()
	if !ok || file == "" || !isFile(file) {
		return false, false
	}
	return out && file != "/dev/null", true
}

// word reads one word. Where one begins there must be one: a character that means more to a shell is a no.
func (p *scanner) word() (string, bool) {
	var b strings.Builder
	for n := 0; ; n++ {
		if p.rest == "" {
			return b.String(), n > 0
		}
		c := p.rest[0]
		switch {
		case c == ' ' || c == '\t' || c == ';' || c == '&' || c == '<' || c == '>':
			return b.String(), n > 0
		case c == '\'':
			text, rest, closed := strings.Cut(p.rest[1:], "'")
			if !closed || strings.Contains(text, "\n") {
				return "", false
			}
			b.WriteString(text)
			p.rest = rest
			continue
		case c == '"':
			if !p.double(&b) {
				return "", false
			}
			continue
		case c == '\\':
			if len(p.rest) < 2 {
				return "", false
			}
			if p.rest[1] != '\n' {
				b.WriteByte(p.rest[1])
			}
			p.rest = p.rest[2:]
			continue
		case c == '#' && n == 0, strings.IndexByte("$`|(){}*?[]~!\n\r\x00", c) >= 0:
			return "", false
		}
		b.WriteByte(c)
		p.rest = p.rest[1:]
	}
}

// double reads what stands in double quotes.
func (p *scanner) double(b *strings.Builder) bool {
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			return true
		case '$', '`', '\n':
			return false
		case '\\':
			i++
			if i == len(p.rest) {
				return false
			}
			switch next := p.rest[i]; next {
			case '"', '\\', '$', '`':
				b.WriteByte(next)
			case '\n':
			default:
				b.WriteByte('\\')
				b.WriteByte(next)
			}
		default:
			b.WriteByte(c)
		}
	}
	return false
}
