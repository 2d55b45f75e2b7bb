// Package ident is who a node is: the certificate that makes it a member of one cluster, how a machine gets it, and how
// two nodes know each other by it.
//
// A cluster is its CA: whoever holds a certificate that the CA signed, with the URI spiffe://CLUSTER/node/NAME, is the
// node NAME; nobody else is. The node that made the cluster holds the CA's key and admits the others: a machine shows a
// token, proves that it holds a private key, and gets its certificate, its number and the gossip key. It says
// nothing before the other side has shown the CA certificate whose fingerprint is in the token, so a man in the middle
// learns nothing and can admit nobody.
//
// Promises: no connection that passed ServerTLS (ALPN h2) or ClientTLS has a peer whose certificate is foreign, expired,
// or of another name than asked for. Files are replaced whole or not at all. A number, once given to a name, is never
// given to another. Bytes of a stranger are bounded in size (64 KiB) and in time (10 s).
//
// An Identity is safe for concurrent use; its exported fields do not change after Init, Load or Join. Two daemons must
// not share a directory. Nothing here looks at IP addresses to decide: they are a fence of the daemon's configuration.
package ident

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"mexec"
)

// Identity is one node's membership of one cluster.
type Identity struct {
	Cluster   string       // random, short: the host part of every node's URI
	Name      mexec.NodeID // the name in the certificate
	Number    int          // from 1, in order of joining
	Authority mexec.NodeID // the node that holds the CA's key
	Advertise string       // gossip host:port told to the others at init or join
	GossipKey []byte       // 32 bytes
	Seeds     []string     // gossip host:port of nodes known when this was loaded, this one not among them

	dir   string
	ask   string // host:port where this node joined: a hint for those who come here by mistake
	root  *x509.Certificate
	roots *x509.CertPool
	key   ed25519.PrivateKey
	ca    *authority       // nil on a node that can't admit others
	clock func() time.Time // for the tests of what time does to certificates

	own struct {
		sync.Mutex
		leaf *tls.Certificate // replaced by RenewIfDue
	}
}

// Init makes a cluster of one node in dir, which may exist. advertise is the gossip host:port that others will know this
// node by. An identity that is there already is an error that matches fs.ErrExist, and is left alone.
func Init(dir string, name mexec.NodeID, advertise string) (*Identity, error) {
	return initAt(dir, name, advertise, time.Now)
}

func initAt(dir string, name mexec.NodeID, advertise string, clock func() time.Time) (*Identity, error) {
	id, err := initCluster(dir, name, advertise, clock)
	if err != nil {
		return nil, fmt.Errorf("init %s: %w", dir, err)
	}
	return id, nil
}

func initCluster(dir string, name mexec.NodeID, advertise string, clock func() time.Time) (*Identity, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if err := checkAddr(advertise); err != nil {
		return nil, err
	}
	if err := vacant(dir); err != nil {
		return nil, err
	}
	now := clock()
	cluster := strings.ToLower(base32.StdEncoding.EncodeToString(random(5)))
	caKey, root, err := newRoot(cluster, now)
	if err != nil {
		return nil, err
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &authority{
		key:      caKey,
		root:     root,
		cluster:  cluster,
		path:     filepath.Join(dir, caFile),
		tokenKey: random(32),
		members:  make(map[mexec.NodeID]member),
	}
	leaf, err := ca.certify(name, public, now)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// The CA's key comes first and exclusively: of two that init one directory at once, one goes no further.
	if err := writeKey(dir, caKeyFile, caKey); err != nil {
		return nil, err
	}
	if _, err := ca.enrol(name, public, advertise, now); err != nil {
		return nil, err
	}
	id := &Identity{
		Cluster:   cluster,
		Name:      name,
		Number:    1,
		Authority: name,
		Advertise: advertise,
		GossipKey: random(32),
		dir:       dir,
		key:       key,
		ca:        ca,
		clock:     clock,
	}
	id.trust(root)
	id.present(leaf)
	return id, id.create(leaf)
}

// Load reads the identity that Init or Join left in dir. Where there is none, the error matches fs.ErrNotExist.
func Load(dir string) (*Identity, error) {
	id, err := load(dir)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	return id, nil
}

// CA tells whether this node holds the CA's key, so that it can make tokens and admit others.
func (id *Identity) CA() bool { return id.ca != nil }

// Fingerprint is the SHA-256 of the cluster's CA certificate: what a token carries.
func (id *Identity) Fingerprint() [32]byte { return fingerprint(id.root) }

// Expires is when this node's certificate ends, unless RenewIfDue gets a new one before.
func (id *Identity) Expires() time.Time { return id.leaf().Leaf.NotAfter }

func (id *Identity) trust(root *x509.Certificate) {
	id.root = root
	id.roots = x509.NewCertPool()
	id.roots.AddCert(root)
}

// present makes leaf the certificate of all handshakes from now on.
func (id *Identity) present(leaf *x509.Certificate) {
	id.own.Lock()
	defer id.own.Unlock()
	id.own.leaf = &tls.Certificate{
		// The root goes along: a machine that joins knows only its fingerprint.
		Certificate: [][]byte{leaf.Raw, id.root.Raw},
		PrivateKey:  id.key,
		Leaf:        leaf,
	}
}

func (id *Identity) leaf() *tls.Certificate {
	id.own.Lock()
	defer id.own.Unlock()
	return id.own.leaf
}

// CheckName tells whether a node can have this name. NODES lists names between commas, beside numbers, ranges and
// brackets, so a name has none of their characters and at least one letter.
func CheckName(name mexec.NodeID) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	const others = "0123456789._-"
	switch s := string(name); {
	case s == "":
		return errors.New("node name: empty")
	case len(s) > 63:
		return fmt.Errorf("node name %.20q…: longer than 63 bytes", s)
	case strings.Trim(s, letters+others) != "" || strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune(letters+others, r)
	}):
		return fmt.Errorf("node name %q: only letters, digits, '.', '_' and '-' can be in it", s)
	case strings.ContainsRune("._-", rune(s[0])):
		return fmt.Errorf("node name %q: must begin with a letter or digit", s)
	case !strings.ContainsAny(s, letters):
		return fmt.Errorf("node name %q: needs a letter, or it would read as a number", s)
	}
	return nil
}

// vacant is the refusal to overwrite.
func vacant(dir string) error {
	if n, err := readNode(dir); err == nil {
		return taken(fmt.Sprintf("already node %d, %s, of cluster %s", n.Number, n.Name, n.Cluster))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, caKeyFile)); err == nil {
		return taken("holds the key of a cluster, " + caKeyFile + ", and no " + nodeFile)
	}
	return nil
}

// taken matches fs.ErrExist without its words, which would say less than its own.
type taken string

func (t taken) Error() string { return string(t) }

func (t taken) Is(target error) bool { return target == fs.ErrExist }

// random never fails: crypto/rand ends the program before it returns anything else.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
