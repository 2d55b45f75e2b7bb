package relay

import (
	"bytes"

	"golang.org/x/sys/unix"

	"mexec/internal/wire/mexecpb"
)

// state is a terminal's settings and size as the link protocol has them.
func state(fd int) (*mexecpb.Terminal, error) {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	s := size(fd)
	s.Iflag, s.Oflag, s.Cflag, s.Lflag, s.Cc = t.Iflag, t.Oflag, t.Cflag, t.Lflag, t.Cc[:]
	return s, nil
}

func size(fd int) *mexecpb.Terminal {
	w, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return &mexecpb.Terminal{}
	}
	return &mexecpb.Terminal{Rows: uint32(w.Row), Columns: uint32(w.Col), Width: uint32(w.Xpixel), Height: uint32(w.Ypixel)}
}

func winsize(s *mexecpb.Terminal) *unix.Winsize {
	return &unix.Winsize{Row: uint16(s.Rows), Col: uint16(s.Columns), Xpixel: uint16(s.Width), Ypixel: uint16(s.Height)}
}

// apply puts the settings of s into t. What belongs to the line and not to its use stays t's own: its speed and character size, and
// EXTPROC, which says that somebody else cooks.
func apply(t *unix.Termios, s *mexecpb.Terminal) {
	t.Iflag, t.Oflag = s.Iflag, s.Oflag
	t.Lflag = s.Lflag&^unix.EXTPROC | t.Lflag&unix.EXTPROC
	copy(t.Cc[:], s.Cc)
}

// crlf are the output flags by which a terminal makes each line feed a carriage return and a line feed.
const crlf = unix.OPOST | unix.ONLCR

// bare says that b has a line feed that no terminal with these flags has made.
func bare(b []byte) bool { return bytes.Count(b, []byte("\n")) != bytes.Count(b, []byte("\r\n")) }

// uncook undoes in b, in place, what a terminal with these output flags will do to it once more: b comes from another terminal, the
// job's own, which has made each line feed a carriage return and a line feed. The reader of that one never parts the two.
func uncook(b []byte, oflag uint32) []byte {
	if oflag&crlf != crlf {
		return b
	}
	at := bytes.Index(b, []byte("\r\n"))
	if at < 0 {
		return b
	}
	to := at
	for i := at; i < len(b); i++ {
		if b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n' {
			continue
		}
		b[to] = b[i]
		to++
	}
	return b[:to]
}
