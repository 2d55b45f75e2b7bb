package screen

import (
	"os"

	"golang.org/x/sys/unix"
)

// use is who uses a terminal, and how.
type use int

const (
	free       use = iota // by our build, line by line
	prompt                // somebody asks for a key or a password
	fullScreen            // by a program that draws it itself
	elsewhere             // by another job of the shell
	mute                  // likewise, and what we wrote would stop us
)

// tty is a terminal; the tests have another.
type tty interface {
	size() (rows, cols int)
	use() use
	write([]byte)
	inherits([]byte) // what is to be written when we are killed
	close()
}

// terminal is the kernel's.
type terminal struct {
	file *os.File
	heir *heir
}

// terminalOf is the terminal to draw on, nil if there is none that can be drawn on.
func terminalOf(c Config) tty {
	if term := c.Getenv("TERM"); term == "" || term == "dumb" {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(c.File.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	return terminal{c.File, new(heir)}
}

func (t terminal) size() (rows, cols int) {
	w, err := unix.IoctlGetWinsize(int(t.file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(w.Row), int(w.Col)
}

func (t terminal) use() use {
	fd := int(t.file.Fd())
	settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return mute
	}
	// A terminal that is not this session's has no foreground for us.
	if group, err := unix.IoctlGetUint32(fd, unix.TIOCGPGRP); err != nil || int(group) != unix.Getpgrp() {
		if settings.Lflag&unix.TOSTOP != 0 {
			return mute
		}
		return elsewhere
	}
	switch lines, echo := settings.Lflag&unix.ICANON != 0, settings.Lflag&unix.ECHO != 0; {
	case lines && echo:
		return free
	case !lines && !echo:
		return fullScreen
	}
	return prompt
}

// write writes at once. That a terminal may be gone is no concern of the build's.
func (t terminal) write(b []byte) {
	if len(b) > 0 {
		t.file.Write(b)
	}
}

func (t terminal) inherits(b []byte) { t.heir.inherits(t.file, b) }

func (t terminal) close() { t.heir.dismiss() }
