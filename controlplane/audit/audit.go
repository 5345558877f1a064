// Package audit says what makes a log of actions whole: each entry carries the hash of the one before it, and heads
// of the chain are signed and kept elsewhere.
package audit

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// Entry is one action, as it is listed, exported and hashed.
type Entry struct {
	Seq          uint64    `json:"seq" doc:"Dense, in the order of commits"`
	At           time.Time `json:"at"`
	Actor        string    `json:"actor" doc:"Kind and id: user:…, key:…, account:…, or a part of the cluster itself"`
	ActorName    string    `json:"actor_name,omitempty" doc:"As it was then"`
	Credential   string    `json:"credential,omitempty" doc:"Id of the session or key"`
	Address      string    `json:"address,omitempty" doc:"From where"`
	Action       string    `json:"action" doc:"Kind and verb, such as site.create or session.begin"`
	Organization string    `json:"organization,omitempty" doc:"Id"`
	Object       string    `json:"object,omitempty" doc:"Id"`
	ObjectName   string    `json:"object_name,omitempty" doc:"As it was then"`
	Result       string    `json:"result" enum:"done,refused"`
	Detail       string    `json:"detail,omitempty"`
	Revision     uint64    `json:"revision,omitempty" doc:"That the action made; absent when it changed no configuration of nodes"`
	Hash         Hash      `json:"hash" doc:"SHA-256 of the hash before and of this entry"`
}

// Results of an action.
const (
	Done    = "done"
	Refused = "refused"
)

// Filter selects entries. What is zero selects all.
type Filter struct {
	Who          string // a part of the actor's name, or the id of the actor or the credential
	Action       string // or its kind: site.create, or site
	Object       string // a part of its name, or its id
	Result       string
	Since, Until time.Time
	Before       uint64 // a number
}

// With is an entry of the same actor: what he has done, to what, and how.
func (e Entry) With(action, object, detail string) Entry {
	e.Action, e.Object, e.Detail, e.Result = action, object, detail, Done
	return e
}

// Hash is a SHA-256 in hexadecimal.
type Hash [sha256.Size]byte

// String is the hexadecimal form.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the hexadecimal form.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the hexadecimal form.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != 2*len(h) {
		return fmt.Errorf("hash of %d characters, want %d", len(b), 2*len(h))
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Sum is the hash of an entry behind the one before it. The database computes the same (audit_chain): each field is
// its length in four bytes, then its bytes in UTF-8; times are microseconds since 1970.
func (e *Entry) Sum(before Hash) Hash {
	var b bytes.Buffer
	b.Write(before[:])
	for _, f := range []string{
		strconv.FormatUint(e.Seq, 10), strconv.FormatInt(e.At.UnixMicro(), 10), e.Actor, e.ActorName, e.Credential, e.Address, e.Action,
		organization(e.Organization), e.Object, e.ObjectName, e.Result, e.Detail, strconv.FormatUint(e.Revision, 10),
	} {
		_ = binary.Write(&b, binary.BigEndian, uint32(len(f)))
		b.WriteString(f)
	}
	return sha256.Sum256(b.Bytes())
}

// organization is an organization's id as the database has it.
func organization(id string) string {
	if o, err := (model.OrgID{}).Parse(id); err == nil {
		return o.UUID.String()
	}
	return id
}

// Head is the end of the chain at some moment.
type Head struct {
	Seq  uint64    `json:"seq"`
	Hash Hash      `json:"hash"`
	At   time.Time `json:"at"`
}

// Anchor is a head that the cluster's identity authority has signed. Whoever keeps it elsewhere notices if the log
// before it is ever another one.
type Anchor struct {
	Head
	Cluster   string `json:"cluster"`
	Signature []byte `json:"signature"`
}

// Message is what is signed of an anchor.
func (a *Anchor) Message() []byte {
	return fmt.Appendf(nil, "warren audit anchor v1\n%s\n%d\n%s\n%d\n", a.Cluster, a.Seq, a.Hash, a.At.UnixMicro())
}

// Verify checks the signature of an anchor.
func (a *Anchor) Verify(authority *x509.Certificate) error {
	if err := authority.CheckSignature(x509.ECDSAWithSHA256, a.Message(), a.Signature); err != nil {
		return fmt.Errorf("anchor at %d: %w", a.Seq, err)
	}
	return nil
}

// Verifier follows a chain from its beginning, entry by entry. The zero Verifier stands before the first one.
type Verifier struct {
	seq    uint64
	hash   Hash
	anchor map[uint64]Hash
	met    int
}

// Expect makes the verifier compare the chain with a head that is known from elsewhere.
func (v *Verifier) Expect(h Head) error {
	if v.anchor == nil {
		v.anchor = map[uint64]Hash{}
	}
	if have, ok := v.anchor[h.Seq]; ok && have != h.Hash {
		return fmt.Errorf("two heads at %d: %s and %s", h.Seq, have, h.Hash)
	}
	if h.Seq > 0 {
		v.anchor[h.Seq] = h.Hash
	}
	return nil
}

// Next takes the next entry; an error says what is wrong, and the chain is broken from there on.
func (v *Verifier) Next(e *Entry) error {
	if e.Seq != v.seq+1 {
		return fmt.Errorf("entry %d comes after %d: entries are missing, or there twice", e.Seq, v.seq)
	}
	if got := e.Sum(v.hash); got != e.Hash {
		return fmt.Errorf("entry %d was changed, or one before it: its hash is %s, but says %s", e.Seq, got, e.Hash)
	}
	if want, ok := v.anchor[e.Seq]; ok {
		if want != e.Hash {
			return fmt.Errorf("entry %d is not the one that was anchored: the log was written anew up to there", e.Seq)
		}
		v.met++
	}
	v.seq, v.hash = e.Seq, e.Hash
	return nil
}

// Finish checks that the chain has reached all heads that are known from elsewhere.
func (v *Verifier) Finish() error {
	for seq := range v.anchor {
		if seq > v.seq {
			return fmt.Errorf("the log ends at %d, but was at %d already: its end was cut off", v.seq, seq)
		}
	}
	return nil
}

// Head is where the verifier stands.
func (v *Verifier) Head() (seq uint64, hash Hash, anchors int) { return v.seq, v.hash, v.met }

// Line is one line of an export: an entry or an anchor.
type Line struct {
	Entry  *Entry  `json:"entry,omitempty"`
	Anchor *Anchor `json:"anchor,omitempty"`
}

// ParseLine reads a line of an export.
func ParseLine(b []byte) (l Line, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return Line{}, err
	}
	if (l.Entry == nil) == (l.Anchor == nil) || d.More() {
		return Line{}, fmt.Errorf("want an entry or an anchor")
	}
	return l, nil
}
