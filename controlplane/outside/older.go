package outside

import (
	"bytes"
	"encoding/pem"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// settling is how long a node may answer with what another certificate has taken the place of.
const settling = time.Minute

// older reports whether a leaf is of a certificate that another one has taken the place of, for the service with a hostname. Of a leaf
// that is in no row, as that of somebody in between, nothing is said.
func older(m *model.Model, name string, leaf []byte) bool {
	if len(leaf) == 0 {
		return false
	}
	at := []string{name}
	if _, rest, ok := strings.Cut(name, "."); ok {
		at = append(at, "*."+rest)
	}
	known := false
	for _, host := range at {
		for s := range m.ServicesNamed(host) {
			for _, c := range m.CertificatesFor(s) {
				if isLeaf(c, leaf) {
					return false
				}
			}
		}
		for c := range m.CertificatesNamed(host) {
			known = known || isLeaf(c, leaf)
		}
	}
	return known
}

func isLeaf(c *model.Certificate, der []byte) bool {
	b, _ := pem.Decode(c.ChainPEM)
	return b != nil && bytes.Equal(b.Bytes, der)
}

// settle keeps since when a node answers with an older certificate. It needs the lock.
func (w *Watch) settle(q question, k *known, old bool, now time.Time) {
	switch {
	case !old:
		k.oldSince, k.old = time.Time{}, false
	case k.oldSince.IsZero():
		k.oldSince = now
	case !k.old && now.Sub(k.oldSince) >= settling:
		k.old = true
		w.with.Log.Warn("a node answers with a certificate that another one has taken the place of", "node", q.node.String(), "sni", q.name)
	}
}
