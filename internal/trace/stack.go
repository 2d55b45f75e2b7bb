package trace

import (
	"encoding/binary"
	"errors"
	"slices"
)

// word is the size of a pointer on each machine that is known here.
const word = 8

// Of getauxval(3).
const (
	atNull   = 0
	atBase   = 7
	atSecure = 23
	atExecFn = 31
)

// stack is what the kernel has put on the stack of a program that has not begun yet: the number of arguments, their addresses, those of the environment,
// and the auxiliary vector.
type stack struct {
	pointer uint64 // its end, where the number of arguments stands
	words   []byte // from there to the end of the vector
	args    int
	envs    int
	path    uint64 // what execve was given
	static  bool   // no loader: no library comes in front of its own
	secure  bool   // it has got rights that its caller has not
}

// errPart: the stack goes on behind what was read of it.
var errPart = errors.New("stack: not all of it was read")

func parseStack(pointer uint64, b []byte) (stack, error) {
	s := stack{pointer: pointer, static: true}
	at := func(i int) (uint64, bool) {
		if i < 0 || i >= len(b)/word {
			return 0, false
		}
		return binary.LittleEndian.Uint64(b[i*word:]), true
	}
	n, ok := at(0)
	if !ok || n >= uint64(len(b)/word) {
		return s, errPart
	}
	s.args = int(n)
	i := 1 + s.args
	if end, ok := at(i); !ok {
		return s, errPart
	} else if end != 0 {
		return s, errors.New("stack: arguments without an end")
	}
	for i++; ; i++ {
		v, ok := at(i)
		if !ok {
			return s, errPart
		}
		if v == 0 {
			break
		}
		s.envs++
	}
	for i++; ; i += 2 {
		key, ok := at(i)
		value, ok2 := at(i + 1)
		switch {
		case !ok || !ok2:
			return s, errPart
		case key == atBase:
			s.static = value == 0
		case key == atSecure:
			s.secure = value != 0
		case key == atExecFn:
			s.path = value
		case key == atNull:
			s.words = b[:(i+2)*word]
			if s.path == 0 || s.args == 0 {
				return s, errors.New("stack: a program without a name")
			}
			return s, nil
		}
	}
}

// slot is where the address of argument i stands.
func (s stack) slot(i int) uint64 { return s.pointer + uint64(1+i)*word }

// arg is the address of argument i.
func (s stack) arg(i int) uint64 { return binary.LittleEndian.Uint64(s.words[(1+i)*word:]) }

// environ is where the environment's addresses begin.
func (s stack) environ() uint64 { return s.slot(s.args + 1) }

// piece is bytes for a place in a process's memory.
type piece struct {
	at    uint64
	bytes []byte
}

// call is what execve is given: addresses in the process.
type call struct{ path, argv, envp uint64 }

// front puts the stub in front of the program: "mexec" "-p" ["-a" ARGV0] "--" PATH ARG..., as libmexec/wrap.c does. first is the argument that is the
// program's own, behind what the kernel has put there for a script.
//
// All arguments stay where they are, be they millions. Only those in front of the first are written over, and some bytes below the stack, which is
// nobody's yet. before is what stood there.
func (s stack) front(stub string, first int, argv0 bool) (c call, now []piece, before piece) {
	low := s.pointer - 16*word // more than the words in front can need
	strings := []string{stub, "mexec", "-p", "--", "-a"}
	var text []byte
	for _, v := range strings {
		text = append(append(text, v...), 0)
	}
	base := (low - uint64(len(text))) &^ 15
	address := func(v string) uint64 {
		at := base
		for _, w := range strings {
			if w == v {
				break
			}
			at += uint64(len(w)) + 1
		}
		return at
	}
	list := []uint64{address("mexec"), address("-p")}
	if argv0 {
		list = append(list, address("-a"), s.arg(first))
	}
	list = append(list, address("--"), s.path)
	end := s.slot(first + 1)
	c = call{path: base, argv: end - uint64(len(list))*word, envp: s.environ()}
	var row []byte
	for _, v := range list {
		row = binary.LittleEndian.AppendUint64(row, v)
	}
	return c, []piece{{base, text}, {c.argv, row}}, piece{s.pointer, slices.Clone(s.words[:end-s.pointer])}
}
