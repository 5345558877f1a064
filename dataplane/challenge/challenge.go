// Package challenge answers certificate authorities on the ports where they ask, 80 and 443, and whoever else
// comes to port 80.
//
// What it answers is known by name, and forgotten when it expires, whether or not anybody takes it away.
package challenge

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/shared/hostname"
)

// A Challenge is one answer for a name: of type HTTP if it has a token, else of type TLS-ALPN.
type Challenge struct {
	Name             string // canonical
	Token            string
	KeyAuthorization string
	Digest           [sha256.Size]byte
	Expires          time.Time
}

// Config is everything an Answerer should know, whole.
type Config struct {
	Challenges []Challenge
	// Hostnames are those of all services that are reached by name, canonical, wildcards included: true for the
	// ones that speak HTTP, whose clients are sent on to HTTPS.
	Hostnames map[string]bool
}

// Options is what an Answerer is made of.
type Options struct {
	HTTPS      uint16           // port to which clients are sent on
	Limit      *inbound.Limiter // of connections to port 80; those of TLS are counted already
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Answerer answers with the Config of the last Apply. Safe for concurrent use.
type Answerer struct {
	with    Options
	key     *ecdsa.PrivateKey // of the certificates that prove something by an extension, not by who signed
	metrics *metrics
	known   atomic.Pointer[known] // replaced whole by Apply; each request loads it once
}

type known struct {
	files   map[file]answer
	digests map[string]digest // by name
	hosts   map[string]bool
}

type file struct{ name, token string }

type answer struct {
	text    string
	expires time.Time
}

type digest struct {
	sum     [sha256.Size]byte
	expires time.Time
}

// Apply replaces what is known. Of several TLS-ALPN challenges of a name, which one handshake can't answer
// together, the last to expire counts.
func (a *Answerer) Apply(cfg Config) {
	k := &known{files: map[file]answer{}, digests: map[string]digest{}, hosts: cfg.Hostnames}
	for _, c := range cfg.Challenges {
		if c.Token != "" {
			if at := (file{c.Name, c.Token}); c.Expires.After(k.files[at].expires) {
				k.files[at] = answer{c.KeyAuthorization, c.Expires}
			}
			continue
		}
		if c.Expires.After(k.digests[c.Name].expires) {
			k.digests[c.Name] = digest{c.Digest, c.Expires}
		}
	}
	a.known.Store(k)
}

// Asked reports whether a certificate authority may come with the protocol "acme-tls/1" for a canonical name.
// Connections for other names are none of ours: a target behind a passthrough route may answer them.
func (a *Answerer) Asked(name string) bool {
	_, ok := a.known.Load().digest(name, time.Now())
	return ok
}

func (k *known) digest(name string, now time.Time) ([sha256.Size]byte, bool) {
	d, ok := k.digests[name]
	return d.sum, ok && now.Before(d.expires)
}

func (k *known) file(name, token string, now time.Time) (string, bool) {
	a, ok := k.files[file{name, token}]
	return a.text, ok && now.Before(a.expires)
}

// speaksHTTP reports whether a service of this canonical name speaks HTTP: the exact one, else the wildcard's.
func (k *known) speaksHTTP(name string) bool {
	if is, ok := k.hosts[name]; ok {
		return is
	}
	w, ok := hostname.Wildcard(name)
	return ok && k.hosts[w]
}
