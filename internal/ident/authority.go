package ident

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"mexec"
)

// authority is what only the node that made the cluster has: the CA's key, the key of the tokens, and the register of all that
// were ever admitted.
type authority struct {
	key      ed25519.PrivateKey
	root     *x509.Certificate
	cluster  string
	path     string
	tokenKey []byte

	mu      sync.Mutex // guards the rest, and the file
	last    int
	members map[mexec.NodeID]member
}

// member is a name's entry in the register. Print binds the name to one private key: a machine that lost the name to a
// newer join can't renew it back.
type member struct {
	Number int       `json:"number"`
	Print  []byte    `json:"key_sha256"`
	Gossip string    `json:"gossip"`
	Joined time.Time `json:"joined"`
}

type caRecord struct {
	TokenKey []byte                  `json:"token_key"`
	Last     int                     `json:"last_number"` // so that no number is given twice, even if an entry is taken out
	Members  map[mexec.NodeID]member `json:"members"`
}

func loadAuthority(dir, cluster string, root *x509.Certificate) (*authority, error) {
	key, err := readKey(dir, caKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !key.Public().(ed25519.PublicKey).Equal(root.PublicKey) {
		return nil, fmt.Errorf("%s: not the key of %s", filepath.Join(dir, caKeyFile), rootCertFile)
	}
	path := filepath.Join(dir, caFile)
	data, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	var r caRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(r.TokenKey) != 32 || r.Last < 1 {
		return nil, fmt.Errorf("%s: incomplete", path)
	}
	if r.Members == nil {
		r.Members = make(map[mexec.NodeID]member)
	}
	return &authority{
		key:      key,
		root:     root,
		cluster:  cluster,
		path:     path,
		tokenKey: r.TokenKey,
		last:     r.Last,
		members:  r.Members,
	}, nil
}

// enrolment is the outcome of a join.
type enrolment struct {
	number int
	before *member // the name's last entry, where it had one
}

// enrol enters a name with its key. A name that was there keeps its number: a machine that was installed anew is the same node
// to everybody who wrote NODES=3. Whether that name may be taken over is the caller's question.
// The register is on disk before the number is told to anybody.
func (ca *authority) enrol(name mexec.NodeID, public ed25519.PublicKey, gossip string, now time.Time) (enrolment, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	var e enrolment
	last := ca.last
	if old, ok := ca.members[name]; ok {
		e = enrolment{number: old.Number, before: &old}
	} else {
		last++
		e.number = last
	}
	members := maps.Clone(ca.members)
	members[name] = member{Number: e.number, Print: keyPrint(public), Gossip: gossip, Joined: now.UTC().Truncate(time.Second)}
	data, err := json.MarshalIndent(caRecord{TokenKey: ca.tokenKey, Last: last, Members: members}, "", "\t")
	if err != nil {
		return e, err
	}
	if err := writeFile(ca.path, append(data, '\n'), true); err != nil {
		return e, err
	}
	ca.last, ca.members = last, members
	return e, nil
}

// holds tells whether name belongs to this key.
func (ca *authority) holds(name mexec.NodeID, public ed25519.PublicKey) bool {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	m, ok := ca.members[name]
	return ok && string(m.Print) == string(keyPrint(public))
}

// seeds are the gossip addresses of all members but one.
func (ca *authority) seeds(but mexec.NodeID) []string {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	var s []string
	for _, name := range slices.Sorted(maps.Keys(ca.members)) {
		if name != but {
			s = append(s, ca.members[name].Gossip)
		}
	}
	return s
}

func keyPrint(public ed25519.PublicKey) []byte {
	sum := sha256.Sum256(public)
	return sum[:]
}

// merge is the union of lists in order of first sight.
func merge(lists ...[]string) []string {
	var all []string
	for _, s := range slices.Concat(lists...) {
		if s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
