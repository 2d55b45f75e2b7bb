package ident

import (
	"strings"
	"testing"
	"time"
)

func TestATokenIsOneSafeWord(t *testing.T) {
	text := ticket(t, found(t, "a", time.Now))
	if len(text) != 76 || text[0] != 'A' || strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("token %q", text)
	}
}

func TestATokenIsGoodUntilItExpiresAndNoLonger(t *testing.T) {
	a := found(t, "a", time.Now)
	now := time.Unix(1_800_000_000, 0)
	text, err := a.Token(time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := parseToken(" " + text + "\n") // as pasted
	if err != nil {
		t.Fatal(err)
	}
	if err := a.ca.check(tok, now.Add(time.Hour-time.Second)); err != nil {
		t.Error(err)
	}
	if err := a.ca.check(tok, now.Add(time.Hour)); err == nil || err.Error() != "token: expired at 2027-01-15 09:00:00Z: mexecctl token prints another" {
		t.Error(err)
	}
}

func TestNoBitOfATokenCanBeChanged(t *testing.T) {
	a := found(t, "a", time.Now)
	raw, _ := tokenText.DecodeString(ticket(t, a))
	for bit := range len(raw) * 8 {
		raw[bit/8] ^= 1 << (bit % 8)
		if tok, err := parseToken(tokenText.EncodeToString(raw)); err == nil && a.ca.check(tok, time.Now()) == nil {
			t.Errorf("bit %d changed, and the token still admits", bit)
		}
		raw[bit/8] ^= 1 << (bit % 8)
	}
}

func TestOnlyTheCAMakesTokens(t *testing.T) {
	a := found(t, "a", time.Now)
	a.ca = nil
	if _, err := a.Token(time.Hour, time.Now()); err == nil || !strings.Contains(err.Error(), "ask node a") {
		t.Error(err)
	}
}

func FuzzToken(f *testing.F) {
	f.Add(mint(make([]byte, 32), [32]byte{1}, time.Unix(1, 0)))
	f.Add("")
	f.Add("AQ==")
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := parseToken(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "token: ") || strings.Contains(err.Error(), "\n") || len(err.Error()) > 100 {
				t.Errorf("not one clear line: %q", err)
			}
			return
		}
		// One text per token: what was read writes the same again.
		if again := tokenText.EncodeToString(tok.raw[:]); again != strings.Map(func(r rune) rune {
			if r == '\n' || r == '\r' { // which the decoder skips
				return -1
			}
			return r
		}, strings.TrimSpace(text)) {
			t.Errorf("%q read as %q", text, again)
		}
	})
}
