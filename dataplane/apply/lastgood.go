package apply

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/shared/atomicfile"
	"github.com/warrenedge/warren/shared/resource"
)

// Disk keeps the newest applied snapshot and the two before it, sealed with a key that never leaves the
// machine. A file is whole or not there: it is written beside, synced, then renamed.
type Disk struct {
	dir  string
	id   string // of the reader; another's file does not open
	aead cipher.AEAD
	log  *slog.Logger
}

// magic starts every file; its last byte is the version of the format.
var magic = []byte("warren-snapshot\x01")

// generations are the files, newest first.
var generations = []string{"snapshot", "snapshot.1", "snapshot.2"}

// nextGeneration is a whole file that is about to become the newest.
const nextGeneration = "snapshot.next"

// stored is the content of a file.
type stored struct {
	Checkpoint []byte           `json:"checkpoint"`
	Resources  []storedResource `json:"resources"`
}

type storedResource struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	Received string `json:"received"`          // version
	Version  string `json:"version,omitempty"` // of Body, the last good one; "" if there is none
	Body     []byte `json:"body,omitempty"`
	Reason   string `json:"reason,omitempty"` // why Received was rejected
}

// OpenDisk opens the folder of a reader, making its key if it is new.
func OpenDisk(dir, id string, log *slog.Logger) (*Disk, error) {
	path := filepath.Join(dir, "snapshot.key")
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // never fails since Go 1.24
		err = atomicfile.Write(path, key)
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("snapshot key %s: %w", path, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("snapshot key %s: %w", path, err)
	}
	return &Disk{dir: dir, id: id, aead: aead, log: log}, nil
}

// save writes a generation; the ones before move back once it is whole on disk: what can't be written costs none
// of them.
func (d *Disk) save(l *ledger) error {
	b, err := d.encode(l)
	if err != nil {
		return err
	}
	next := filepath.Join(d.dir, nextGeneration)
	if err := atomicfile.Write(next, b); err != nil {
		return err
	}
	path := func(i int) string { return filepath.Join(d.dir, generations[i]) }
	for i := len(generations) - 1; i > 0; i-- {
		// Linked, not moved: at no moment is there no newest file.
		if err := os.Remove(path(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Link(path(i-1), path(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return atomicfile.Move(next, path(0))
}

// load reads the newest generation that can be read; nil if there is none at all.
func (d *Disk) load(decode decoder) (*ledger, error) {
	var errs []error
	for _, name := range generations {
		b, err := os.ReadFile(filepath.Join(d.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var l *ledger
		if err == nil {
			l, err = d.decode(b, decode)
		}
		if err == nil {
			return l, nil
		}
		d.log.Error("stored snapshot unreadable, trying the one before", "file", name, "err", err)
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	if len(errs) > 0 {
		// The machine can still ask the control plane for everything.
		d.log.Error("no stored snapshot is readable, starting empty", "err", errors.Join(errs...))
	}
	return nil, nil
}

func (d *Disk) encode(l *ledger) ([]byte, error) {
	cp, err := proto.Marshal(l.checkpoint)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	s := stored{Checkpoint: cp}
	for typ, names := range l.received {
		for name, version := range names {
			r := storedResource{Type: typ, Name: name, Received: version}
			if it, ok := l.good[typ][name]; ok {
				r.Version, r.Body = it.raw.Version, it.raw.Body
			}
			if rej := l.rejected[ref{typ, name}]; rej != nil {
				r.Reason = rej.GetReason()
			}
			s.Resources = append(s.Resources, r)
		}
	}
	plain, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, d.aead.NonceSize())
	_, _ = rand.Read(nonce)
	out := append(bytes.Clone(magic), nonce...)
	return d.aead.Seal(out, nonce, plain, []byte(d.id)), nil
}

func (d *Disk) decode(b []byte, decode decoder) (*ledger, error) {
	rest, ok := bytes.CutPrefix(b, magic)
	if !ok {
		return nil, errors.New("not a snapshot of this format")
	}
	if len(rest) < d.aead.NonceSize() {
		return nil, errors.New("truncated")
	}
	plain, err := d.aead.Open(nil, rest[:d.aead.NonceSize()], rest[d.aead.NonceSize():], []byte(d.id))
	if err != nil {
		return nil, errors.New("damaged, or another machine's")
	}
	var s stored
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, err
	}
	l := newLedger()
	l.checkpoint = &nodev1.Checkpoint{}
	if err := proto.Unmarshal(s.Checkpoint, l.checkpoint); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	for _, r := range s.Resources {
		if l.received[r.Type] == nil {
			l.received[r.Type], l.good[r.Type] = map[string]string{}, map[string]item{}
		}
		l.received[r.Type][r.Name] = r.Received
		if r.Version != "" {
			raw := ads.Resource{TypeURL: r.Type, Name: r.Name, Version: r.Version, Body: r.Body}
			value, err := decode(raw)
			if err != nil { // it was good for the program that wrote it
				r.Received, r.Reason = r.Version, err.Error()
			} else {
				l.good[r.Type][r.Name] = item{raw, value}
			}
		}
		if r.Reason != "" {
			l.rejected[ref{r.Type, r.Name}] = &nodev1.Rejection{TypeUrl: r.Type, Name: r.Name, Version: r.Received, Reason: r.Reason}
		}
	}
	for typ := range l.received {
		if resource.Ephemeral(typ) {
			return nil, fmt.Errorf("holds presence: %s", typ)
		}
	}
	return l, nil
}
