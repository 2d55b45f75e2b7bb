package mexec

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
)

// surelyExecutes is libmexec/sure.c without its questions to the kernel: whether path is a program of this machine's own kind, with its
// loader, or a script with one. Doubt is a no: the command is then left to execve, whose error reaches the caller.
func surelyExecutes(path string) bool {
	const scripts = 5 // that may call each other
	for range scripts + 1 {
		if !isAnyones(path) {
			return false
		}
		f, ok := openExecutable(path)
		if !ok {
			return false
		}
		head := make([]byte, 256) // the kernel looks for a first line in as many
		n, _ := io.ReadFull(f, head)
		head = head[:n]
		if !bytes.HasPrefix(head, []byte("#!")) {
			loader, ok := readELF(f)
			f.Close()
			return ok && (loader == "" || isLoader(loader))
		}
		f.Close()
		line, _, ended := bytes.Cut(head[2:], []byte("\n"))
		words := strings.FieldsFunc(string(line), func(c rune) bool { return c == ' ' || c == '\t' })
		if !ended || len(words) == 0 || bytes.IndexByte(line, 0) >= 0 {
			return false
		}
		path = words[0]
	}
	return false
}

// isAnyones says whether path is the same file to each process: to the stub /proc/self/exe is the stub.
func isAnyones(path string) bool {
	if !strings.HasPrefix(path, "/proc/") {
		return !strings.HasPrefix(path, "/dev/fd/")
	}
	return strings.HasPrefix(path, "/proc/self/cwd/") || strings.HasPrefix(path, "/proc/self/root/")
}

// openExecutable opens a regular file that execve's checks of rights and mount let pass.
func openExecutable(path string) (*os.File, bool) {
	const (
		byEffectiveIDs = 0x200 // AT_EACCESS
		cwd            = -0x64 // AT_FDCWD
		execute        = 1     // X_OK
	)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil, false
	}
	if syscall.Faccessat(cwd, path, execute, byEffectiveIDs) != nil {
		return nil, false
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0) // it may have become a fifo
	return f, err == nil
}

func isLoader(path string) bool {
	f, ok := openExecutable(path)
	if !ok {
		return false
	}
	defer f.Close()
	_, ok = readELF(f)
	return ok
}

// own is the beginning of this program's own header: its class, byte order and machine are what runs here.
var own = sync.OnceValue(func() []byte {
	head := make([]byte, 20)
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil
	}
	defer f.Close()
	if _, err := io.ReadFull(f, head); err != nil {
		return nil
	}
	return head
})

// readELF says whether f is a program of our own kind, and which loader it names. debug/elf would read, and link in, far more.
func readELF(f io.ReaderAt) (loader string, ok bool) {
	var head [64]byte
	own := own()
	if _, err := f.ReadAt(head[:], 0); err != nil || own == nil || !bytes.Equal(head[:6], own[:6]) || !bytes.Equal(head[18:20], own[18:20]) {
		return "", false
	}
	var order binary.ByteOrder = binary.NativeEndian
	short := func(b []byte, at int) uint64 { return uint64(order.Uint16(b[at:])) }
	word := func(b []byte, at int) uint64 { return uint64(order.Uint32(b[at:])) }
	long := func(b []byte, at int) uint64 { return order.Uint64(b[at:]) }
	// Where the fields stand, for 64 bits and for 32.
	phoff, phentsize, phnum, size, offset, filesz := 32, 54, 56, uint64(56), 8, 32
	if head[4] == 1 {
		phoff, phentsize, phnum, size, offset, filesz, long = 28, 42, 44, 32, 4, 16, word
	}
	const executable, dynamic, interp = 2, 3, 3 // ET_EXEC, ET_DYN, PT_INTERP
	kind, n := short(head[:], 16), short(head[:], phnum)
	if kind != executable && kind != dynamic || short(head[:], phentsize) != size || n == 0 || n*size > 4096 {
		return "", false
	}
	table := make([]byte, n*size)
	if _, err := f.ReadAt(table, int64(long(head[:], phoff))); err != nil {
		return "", false
	}
	for ; len(table) > 0; table = table[size:] {
		if word(table, 0) != interp {
			continue
		}
		length := long(table, filesz)
		if length < 2 || length > 256 {
			return "", false
		}
		name := make([]byte, length)
		if _, err := f.ReadAt(name, int64(long(table, offset))); err != nil || name[length-1] != 0 {
			return "", false
		}
		loader, _, _ = strings.Cut(string(name), "\x00")
		return loader, true
	}
	return "", true
}
