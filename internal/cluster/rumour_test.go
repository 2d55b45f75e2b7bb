package cluster

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mexec/internal/logtest"
)

func TestOnlyLinesThatSomebodyCanActOnAreWarnings(t *testing.T) {
	for line, want := range map[string]struct{ text, warning, from string }{
		"[DEBUG] memberlist: Stream connection from=10.0.0.1:5\n": {"Stream connection from=10.0.0.1:5", "", "10.0.0.1:5"},
		"[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=10.0.0.9:7947\n": {
			"Decrypt packet failed: no installed keys could decrypt the message from=10.0.0.9:7947", otherCluster, "10.0.0.9:7947"},
		"[ERR] memberlist: failed to receive: encryption is configured but remote state is not encrypted from=pipe": {
			"failed to receive: encryption is configured but remote state is not encrypted from=pipe", otherCluster, "pipe"},
		"[ERR] memberlist: Push/Pull with n3#1 failed: dial tcp: refused": {"Push/Pull with n3#1 failed: dial tcp: refused", "", ""},
		"[WARN] memberlist: Refuting a suspect message (from: n1#2)":      {"Refuting a suspect message (from: n1#2)", "", ""},
		"[WARN] memberlist: Was able to connect to n2#1 over TCP but UDP probes failed, network may be misconfigured": {
			"Was able to connect to n2#1 over TCP but UDP probes failed, network may be misconfigured",
			"a member answers over TCP but not over UDP: is the gossip port open for both?", ""},
		"[ERR] memberlist: something new": {"something new", "trouble in the gossip", ""},
		"[INFO] memberlist: fine":         {"fine", "", ""},
		"Err: no tag":                     {"Err: no tag", "", ""},
		"":                                {"", "", ""},
	} {
		text, warning, from := hear(line)
		if text != want.text || warning != want.warning || from != want.from {
			t.Errorf("%q: got %q, %q, %q", line, text, warning, from)
		}
	}
}

func TestAWarningIsSaidOnceAMinuteAndThenHowOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var book logtest.Log
		r := newRumours(slog.New(slog.NewTextHandler(&book, nil)))
		for range 90 {
			r.warn("a")
			r.warn("b")
			time.Sleep(time.Second)
		}
		if book.Count("msg=a") != 2 || book.Count("msg=b") != 2 || book.Count("more=59") != 2 {
			t.Errorf("%s", &book)
		}
		r.mute()
		before := book.String()
		time.Sleep(time.Hour)
		r.warn("a")
		r.Write([]byte("[ERR] memberlist: late"))
		if book.String() != before {
			t.Errorf("after mute: %s", strings.TrimPrefix(book.String(), before))
		}
	})
}
