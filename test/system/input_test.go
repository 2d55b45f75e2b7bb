package system_test

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mexec/internal/ident"
	"mexec/internal/wire"
	"mexec/test/hosts"
)

// Bad input of any kind costs one clear line, and nothing else: no daemon ends, hangs or forgets what it was doing.

func TestABadConfigurationIsOneLineAndNothingStarts(t *testing.T) {
	node1, _, _ := three(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		write(t, path, text)
		return path
	}
	random := make([]byte, 4096)
	for i := range random {
		random[i] = byte(rand.N(256))
	}
	for _, c := range []struct {
		args []string
		want string // after "mexecd: config", %s is the file
	}{
		{[]string{"--config", filepath.Join(dir, "nonesuch")}, " %s: no such file or directory"},
		{[]string{"--config", dir}, " %s: is a directory"},
		{[]string{"--config", file("number", "slots = \"many\"\n")}, " %s:1: slots: must be a number"},
		{[]string{"--config", file("key", "\n\nslotz = 3\n")}, " %s:3: \"slotz\": unknown"},
		{[]string{"--config", file("cut", "allow = [\"10.0.0.0/8\"")}, " %s:"},
		{[]string{"--config", file("random", string(random))}, " %s:"},
		{[]string{"--config", file("time", "# ours\nkeepalive = \"5\"\n")}, " %s:2: keepalive: \"5\": not a time such as 500ms or 5s"},
		{[]string{"--slots", "-1"}, " --slots: \"-1\": not a number from 0 to 65536"},
		{[]string{"--listen", "here"}, " --listen: \"here\": not HOST:PORT or :PORT"},
		{[]string{"10.0.0.1"}, ": 10.0.0.1: an address without its mask"},
		{[]string{"10.0.0.0", "255.0.0.0.0"}, ": \"255.0.0.0.0\": not a mask for 10.0.0.0"},
		{[]string{"--frobnicate"}, ": "},
	} {
		for _, check := range []string{"--check-config", "--debug"} { // the check, and the start itself
			r := run(t, node1.Command("mexecd", append([]string{check, "--state", filepath.Join(dir, "state")}, c.args...)...))
			want := "mexecd: config" + strings.ReplaceAll(c.want, "%s", c.args[len(c.args)-1])
			if r.code != 2 || r.out != "" || !strings.HasPrefix(r.errs, want) || strings.Count(r.errs, "\n") != 1 || len(r.errs) > 300 {
				t.Errorf("%s %q: %+v, want %q", check, c.args, r, want)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
		t.Error("a state directory was made")
	}
	if r := run(t, node1.Command("mexecd", "--check-config", "--config", file("good", "slots = 3\n"))); r.code != 0 || r.errs != "" || !strings.Contains(r.out, "slots") {
		t.Errorf("a good one: %+v", r)
	}
}

func TestAMalformedNodesListIsOneLineAndNothingRuns(t *testing.T) {
	node1, _, _ := three(t)
	for _, nodes := range []string{"1-", "3-1", "node[", "node[1-2", "node[]", "-1", "*", "1,,x[1-2]]", "99999999999999999999", "\xff[", "]", "node[2-1]"} {
		for _, script := range []string{`exec mexec -n "$1" echo ran`, `NODES="$1" exec mexec echo ran`} {
			r := run(t, sh(node1, script, nodes))
			if r.code != 125 || r.out != "" || !strings.HasPrefix(r.errs, "mexec: NODES ") || strings.Count(r.errs, "\n") != 1 {
				t.Errorf("%q: %+v", nodes, r)
			}
		}
	}
	// No node of that name is no mistake: the command stays.
	if r := run(t, node1.Command("mexec", "-v", "-n", "nonesuch,77", "uname", "-n")); r.out != "node1\n" || !strings.Contains(r.errs, "no node of NODES=nonesuch,77 is up") {
		t.Errorf("%+v", r)
	}
}

// serving asserts that a daemon is the one that it was and does its work.
func serving(t *testing.T, h *hosts.Host, pid int) {
	t.Helper()
	if h.Daemon() != pid {
		t.Fatalf("the daemon of %s was process %d and is %d: %s", h.Name, pid, h.Daemon(), h.Log())
	}
	for _, node := range []string{"1", "2"} {
		if r := run(t, h.Command("mexec", "-n", node, "uname", "-n")); r.out != "node"+node+"\n" {
			t.Fatalf("on node%s: %+v", node, r)
		}
	}
}

// warnings are the lines that a daemon has logged since its log was of a length, and that have a word.
func warnings(h *hosts.Host, since int, word string) (lines []string) {
	for l := range strings.Lines(h.Log()[since:]) {
		if strings.Contains(l, word) {
			lines = append(lines, l)
		}
	}
	return lines
}

func TestGarbageOnTheLocalSocketIsOneLineEach(t *testing.T) {
	node1, _, _ := three(t)
	pid := node1.Daemon()
	header := func(magic uint16, version, kind byte, length uint32) []byte {
		b := binary.LittleEndian.AppendUint16(nil, magic)
		return binary.LittleEndian.AppendUint32(append(b, version, kind), length)
	}
	exec := (&wire.ExecBody{Cwd: []byte("/"), Path: []byte("/bin/true"), Argv: []byte("true\x00"), Argc: 1}).Append(nil)
	frame := func(body []byte) []byte { return append(header(0x584d, 1, 1, uint32(len(body))), body...) }
	huge := append([]byte(nil), exec...)
	binary.LittleEndian.PutUint32(huge[420:], 1<<31) // argc
	bad := map[string][]byte{
		"a header cut short":              header(0x584d, 1, 1, 100)[:5],
		"a body cut short":                append(header(0x584d, 1, 1, 1000), exec...),
		"no magic":                        header(0x4d58, 1, 1, 0),
		"another version":                 header(0x584d, 2, 1, 0),
		"an unknown type":                 header(0x584d, 1, 99, 0),
		"a frame of the other way":        header(0x584d, 1, 18, 0),
		"a signal where a job begins":     append(header(0x584d, 1, 2, 8), 15, 0, 0, 0, 0, 0, 0, 0),
		"a length beyond all bounds":      header(0x584d, 1, 1, 0xffffffff),
		"a query beyond its bounds":       header(0x584d, 1, 3, 1<<20),
		"an unknown query":                append(header(0x584d, 1, 3, 5), "hello"...),
		"an empty job":                    header(0x584d, 1, 1, 0),
		"a job without its strings":       frame(exec[:480]),
		"a job of two billion arguments":  frame(huge),
		"descriptors said and not sent":   frame(append(binary.LittleEndian.AppendUint32(append([]byte(nil), exec[:8]...), 7), exec[12:]...)),
		"HTTP":                            []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"a program that speaks after all": []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on"),
	}
	for name, bytes := range bad {
		since := len(node1.Log())
		conn, err := net.Dial("unix", node1.OutsideSocket())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		conn.Write(bytes)
		conn.(*net.UnixConn).CloseWrite()
		answer, err := io.ReadAll(conn)
		if os.IsTimeout(err) || len(answer) > 200 {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
		conn.Close()
		says(t, node1, since, "level=WARN", "local: pid "+fmt.Sprint(os.Getpid())+", uid 0: ")
		if lines := warnings(node1, since, "level="); len(lines) != 1 || len(lines[0]) > 400 {
			t.Errorf("%s: %q", name, lines)
		}
	}
	// Who asks for what is not there is told so, and who connects and says nothing only looks whether somebody is there.
	since := len(node1.Log())
	if r := run(t, node1.Command("mexecctl", "why", "nosuch")); r.code != 1 || !strings.Contains(r.errs, "remembered here") {
		t.Errorf("%+v", r)
	}
	conn, err := net.Dial("unix", node1.OutsideSocket())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	serving(t, node1, pid)
	if lines := warnings(node1, since, "level="); len(lines) != 0 {
		t.Errorf("a look: %q", lines)
	}
}

func TestRandomChangesOfAGoodFrameNeverEndADaemon(t *testing.T) {
	node1, _, _ := three(t)
	pid := node1.Daemon()
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	// A job that can't run anywhere, so that a change can't make one that does harm.
	body := (&wire.ExecBody{Cwd: []byte("/nonexistent"), Path: []byte("/nonexistent/program"), Argv: []byte("x\x00"), Argc: 1, Nodes: []byte("2")}).Append(nil)
	for range 1000 {
		frame := binary.LittleEndian.AppendUint32([]byte{'M', 'X', 1, 1}, uint32(len(body)))
		frame = append(frame, body...)
		for range 1 + rng.IntN(4) {
			at := 4 + rng.IntN(484) // the length and the fixed part
			frame[at] = byte(rng.Uint32())
		}
		conn, err := net.Dial("unix", node1.OutsideSocket())
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(frame[:len(frame)-rng.IntN(2)*rng.IntN(len(frame))])
		conn.Close()
	}
	serving(t, node1, pid)
}

func TestGarbageOnTheLinkPortIsOneLineAndTheDaemonGoesOn(t *testing.T) {
	node1, node2 := pair(t)
	pid := node1.Daemon()
	for name, c := range map[string]struct{ bytes, why string }{
		"plain HTTP":           {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not TLS"},
		"HTTP/2 without TLS":   {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not TLS"},
		"garbage":              {"\x00\x01\x02\x03 garbage \xff\xfe\xfd", "not TLS"},
		"a handshake cut off":  {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "hung up before the end of the handshake"},
		"nothing but a hello ": {"", "hung up before the end of the handshake"},
	} {
		since := len(node1.Log())
		conn, err := node2.Dial("tcp", "10.77.0.1:7733")
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, c.bytes)
		conn.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, conn); os.IsTimeout(err) {
			t.Errorf("%s: the daemon does not hang up", name)
		}
		conn.Close()
		says(t, node1, since, "level=WARN", "link 10.77.0.2:", "refused: "+c.why)
		if lines := warnings(node1, since, "level="); len(lines) != 1 {
			t.Errorf("%s: %q", name, lines)
		}
	}
	serving(t, node1, pid)
}

func TestAMemberThatSpeaksNonsenseEndsNothingButItsOwnLink(t *testing.T) {
	node1, node2, node3 := three(t)
	pid := node2.Daemon()
	id, err := ident.Load(filepath.Join(node3.Dir, "var/lib/mexec"))
	if err != nil {
		t.Fatal(err)
	}
	for _, nonsense := range []string{
		"GET / HTTP/1.1\r\nHost: node2\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x40\x00\x01\x05\x00\x00\x00\x01" + strings.Repeat("\xee", 0x4000),
	} {
		raw, err := node3.Dial("tcp", "10.77.0.2:7733")
		if err != nil {
			t.Fatal(err)
		}
		raw.SetDeadline(time.Now().Add(20 * time.Second))
		conn := tls.Client(raw, id.ClientTLS("node2"))
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, nonsense)
		if _, err := io.Copy(io.Discard, conn); os.IsTimeout(err) {
			t.Errorf("%.30q: the daemon does not hang up", nonsense)
		}
		raw.Close()
	}
	if node2.Daemon() != pid {
		t.Fatal("the daemon is another")
	}
	if r := run(t, node1.Command("mexec", "-n", "2", "uname", "-n")); r.out != "node2\n" {
		t.Errorf("%+v", r)
	}
}

func TestGarbageOnTheGossipPortEndsNothing(t *testing.T) {
	node1, _, node3 := three(t)
	pid := node1.Daemon()
	for _, network := range []string{"udp", "tcp"} {
		for i := range 20 {
			conn, err := node3.Dial(network, "10.77.0.1:7734")
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1+i*60)
			for k := range b {
				b[k] = byte(rand.N(256))
			}
			conn.Write(b)
			conn.Close()
		}
	}
	serving(t, node1, pid)
	if err := trio.hs.WaitUp(t.Context(), 3); err != nil {
		t.Error(err)
	}
}
