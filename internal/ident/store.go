package ident

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mexec"
)

// The files of an identity. Certificates and keys are PEM so that openssl can look at them. node.json is written last when an
// identity is made: while it is missing, there is none.
const (
	nodeFile     = "node.json"
	nodeCertFile = "node.crt"
	nodeKeyFile  = "node.key"
	rootCertFile = "ca.crt"
	caKeyFile    = "ca.key"  // only on the node that made the cluster
	caFile       = "ca.json" // likewise
)

type nodeRecord struct {
	Cluster   string       `json:"cluster"`
	Name      mexec.NodeID `json:"name"`
	Number    int          `json:"number"`
	Authority mexec.NodeID `json:"authority"`
	Ask       string       `json:"ask,omitempty"`
	Advertise string       `json:"advertise"`
	GossipKey []byte       `json:"gossip_key"`
	Seeds     []string     `json:"seeds"`
}

func load(dir string) (*Identity, error) {
	n, err := readNode(dir)
	if err != nil {
		return nil, err
	}
	root, err := readCert(dir, rootCertFile)
	if err != nil {
		return nil, err
	}
	leaf, err := readCert(dir, nodeCertFile)
	if err != nil {
		return nil, err
	}
	key, err := readKey(dir, nodeKeyFile)
	if err != nil {
		return nil, err
	}
	// Not the time: an expired node may still read its own state and say so.
	if err := leaf.CheckSignatureFrom(root); err != nil {
		return nil, fmt.Errorf("%s: not signed by %s: %w", filepath.Join(dir, nodeCertFile), rootCertFile, err)
	}
	if !key.Public().(ed25519.PublicKey).Equal(leaf.PublicKey) {
		return nil, fmt.Errorf("%s: not the key of %s", filepath.Join(dir, nodeKeyFile), nodeCertFile)
	}
	if cluster, name, err := subject(leaf); err != nil || cluster != n.Cluster || name != n.Name {
		return nil, fmt.Errorf("%s: not the certificate of node %s of cluster %s", filepath.Join(dir, nodeCertFile), n.Name, n.Cluster)
	}
	id := &Identity{
		Cluster:   n.Cluster,
		Name:      n.Name,
		Number:    n.Number,
		Authority: n.Authority,
		Advertise: n.Advertise,
		GossipKey: n.GossipKey,
		Seeds:     n.Seeds,
		dir:       dir,
		ask:       n.Ask,
		key:       key,
		clock:     time.Now,
	}
	id.trust(root)
	id.present(leaf)
	if id.ca, err = loadAuthority(dir, n.Cluster, root); err != nil {
		return nil, err
	}
	if id.ca != nil {
		id.Seeds = merge(id.ca.seeds(id.Name), id.Seeds)
	}
	return id, nil
}

// writable makes the directory and a file in it, since there is no other way to find out whether it can be done, and takes both away again: who is refused
// has none.
func writable(dir string) error {
	_, err := os.Stat(dir)
	made := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("%s: %w", dir, errors.Unwrap(err)) // whose file has a random name
	}
	f.Close()
	err = os.Remove(f.Name())
	if err == nil && made {
		err = os.Remove(dir)
	}
	return err
}

// create writes a whole new identity.
func (id *Identity) create(leaf *x509.Certificate) error {
	if err := os.MkdirAll(id.dir, 0o700); err != nil {
		return err
	}
	// What a join left that died half way is of no use to anybody.
	if err := os.Remove(filepath.Join(id.dir, nodeKeyFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeKey(id.dir, nodeKeyFile, id.key); err != nil {
		return err
	}
	if err := writeCert(id.dir, rootCertFile, id.root); err != nil {
		return err
	}
	if err := writeCert(id.dir, nodeCertFile, leaf); err != nil {
		return err
	}
	return id.writeNode(id.Seeds, false)
}

// Remember keeps the gossip addresses of nodes for the next Load, so that a node finds its cluster again after the ones it knew
// at its joining are gone.
func (id *Identity) Remember(seeds []string) error {
	id.own.Lock()
	defer id.own.Unlock()
	if err := id.writeNode(seeds, true); err != nil {
		return fmt.Errorf("remember seeds: %w", err)
	}
	return nil
}

func (id *Identity) writeNode(seeds []string, replace bool) error {
	data, err := json.MarshalIndent(nodeRecord{
		Cluster:   id.Cluster,
		Name:      id.Name,
		Number:    id.Number,
		Authority: id.Authority,
		Ask:       id.ask,
		Advertise: id.Advertise,
		GossipKey: id.GossipKey,
		Seeds:     seeds,
	}, "", "\t")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(id.dir, nodeFile), append(data, '\n'), replace)
}

func readNode(dir string) (nodeRecord, error) {
	var n nodeRecord
	path := filepath.Join(dir, nodeFile)
	data, err := readSecret(path)
	if err != nil {
		return n, err
	}
	if err := json.Unmarshal(data, &n); err != nil {
		return n, fmt.Errorf("%s: %w", path, err)
	}
	if n.Cluster == "" || n.Number < 1 || len(n.GossipKey) != 32 || CheckName(n.Name) != nil {
		return n, fmt.Errorf("%s: incomplete", path)
	}
	return n, nil
}

func readCert(dir, file string) (*x509.Certificate, error) {
	path := filepath.Join(dir, file)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: no certificate in it", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cert, nil
}

func readKey(dir, file string) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, file)
	data, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s: no private key in it", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: not an Ed25519 key", path)
	}
	return private, nil
}

// readSecret refuses a file that everybody can read: the secret is none then, and the person should know.
func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("%s: mode %04o: a secret that others can get at (chmod 600)", path, mode)
	}
	return os.ReadFile(path)
}

func writeCert(dir, file string, cert *x509.Certificate) error {
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	return writeFile(filepath.Join(dir, file), data, true)
}

func writeKey(dir, file string, key ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return writeFile(filepath.Join(dir, file), data, false)
}

// writeFile makes path hold data, mode 0600, at once and on disk. Without replace a path that exists is an error: link(2) finds
// out and acts in one step, which a look beforehand can't.
func writeFile(path string, data []byte, replace bool) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if replace {
		err = os.Rename(f.Name(), path)
	} else {
		err = os.Link(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
