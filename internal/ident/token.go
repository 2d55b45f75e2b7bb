package ident

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// DefaultTTL is how long a token lets machines in where nobody says otherwise.
const DefaultTTL = time.Hour

// A token is 57 bytes, 76 characters of URL-safe base64 without padding:
//
//	u8 version = 1 | 32 bytes SHA-256 of the CA's certificate | u64 expiry, Unix seconds | 16 bytes HMAC-SHA256
//
// Nothing is kept about it: it admits any number of machines until it expires, and there is no list of tokens to lose.
// The version makes its first character 'A', so a token is never mistaken for an option.
const (
	tokenVersion = 1
	tokenMAC     = 1 + 32 + 8
	tokenSize    = tokenMAC + 16
)

var tokenText = base64.RawURLEncoding.Strict()

type token struct {
	root    [32]byte
	expires time.Time
	raw     [tokenSize]byte
}

// Token makes a token that admits machines until now+ttl. Only the node that holds the CA's key can.
func (id *Identity) Token(ttl time.Duration, now time.Time) (string, error) {
	switch {
	case id.ca == nil:
		return "", fmt.Errorf("token: this node does not hold the cluster's CA key: ask node %s", id.Authority)
	case ttl < time.Second:
		return "", fmt.Errorf("token: ttl %v: shorter than a second", ttl)
	case ttl > rootLife:
		return "", fmt.Errorf("token: ttl %v: longer than the cluster lives", ttl)
	}
	return mint(id.ca.tokenKey, fingerprint(id.root), now.Add(ttl)), nil
}

func mint(key []byte, root [32]byte, expires time.Time) string {
	b := make([]byte, 0, tokenSize)
	b = append(b, tokenVersion)
	b = append(b, root[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(expires.Unix()))
	b = append(b, seal(key, b)...)
	return tokenText.EncodeToString(b)
}

// seal is bound to its use, should the key ever get a second one.
func seal(key, b []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("mexec join token\x00"))
	m.Write(b)
	return m.Sum(nil)[:tokenSize-tokenMAC]
}

// parseToken reads what anybody can read of a token; only the CA's node can tell whether it is genuine.
func parseToken(text string) (token, error) {
	var t token
	b, err := tokenText.DecodeString(strings.TrimSpace(text))
	switch {
	case err != nil || len(b) == 0:
		return t, errors.New("token: malformed: not the text that mexecctl printed")
	case b[0] != tokenVersion:
		return t, fmt.Errorf("token: version %d, not %d: mistyped, or of another mexec", b[0], tokenVersion)
	case len(b) != tokenSize:
		return t, fmt.Errorf("token: malformed: %d characters, not %d", len(strings.TrimSpace(text)), tokenText.EncodedLen(tokenSize))
	}
	copy(t.raw[:], b)
	copy(t.root[:], b[1:])
	t.expires = time.Unix(int64(binary.LittleEndian.Uint64(b[33:])), 0)
	return t, nil
}

// check is the CA's judgement. The seal comes first: only a token that was ours is told how it failed.
func (ca *authority) check(t token, now time.Time) error {
	switch {
	case t.root != fingerprint(ca.root):
		return errors.New("token: of another cluster")
	case !hmac.Equal(seal(ca.tokenKey, t.raw[:tokenMAC]), t.raw[tokenMAC:]):
		return errors.New("token: wrong: not the text that mexecctl printed")
	case !now.Before(t.expires):
		return fmt.Errorf("token: expired at %s: mexecctl token prints another", t.expires.UTC().Format(time.DateTime+"Z"))
	}
	return nil
}
