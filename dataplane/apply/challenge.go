package apply

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/challenge"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/shared/hostname"
	"github.com/warrenedge/warren/shared/resource"
)

// asked is what a certificate authority is answered: in the DNS if there is a text, else on the other ports.
type asked struct {
	id   string
	text string
	challenge.Challenge
}

var (
	tokenSyntax = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	proofSyntax = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,255}$`)
)

// decodeChallenge holds what strangers are sent against its syntax. Its errors do not quote it.
func decodeChallenge(m *nodev1.Challenge) (asked, error) {
	c := asked{id: m.GetId(), Challenge: challenge.Challenge{Name: m.GetName(), Expires: m.GetExpiresAt().AsTime()}}
	errs := []error{required("id", c.id)}
	if s, err := hostname.Canonical(c.Name); err != nil || s != c.Name {
		errs = append(errs, fmt.Errorf("name: %q is not canonical", c.Name))
	}
	if !m.GetExpiresAt().IsValid() {
		errs = append(errs, errors.New("expires_at: missing, or no time"))
	}
	switch a := m.GetAnswer().(type) {
	case *nodev1.Challenge_Dns:
		if c.text = a.Dns.GetText(); !proofSyntax.MatchString(c.text) {
			errs = append(errs, errors.New("dns.text: not the text of a challenge"))
		}
	case *nodev1.Challenge_Http:
		c.Token, c.KeyAuthorization = a.Http.GetToken(), a.Http.GetKeyAuthorization()
		if !tokenSyntax.MatchString(c.Token) {
			errs = append(errs, errors.New("http.token: no token"))
		}
		if !proofSyntax.MatchString(c.KeyAuthorization) || !strings.HasPrefix(c.KeyAuthorization, c.Token+".") {
			errs = append(errs, errors.New("http.key_authorization: not of this token"))
		}
	case *nodev1.Challenge_TlsAlpn:
		if n := copy(c.Digest[:], a.TlsAlpn.GetDigest()); n != sha256.Size || len(a.TlsAlpn.GetDigest()) != n {
			errs = append(errs, fmt.Errorf("tls_alpn.digest: %d bytes, want %d", len(a.TlsAlpn.GetDigest()), sha256.Size))
		}
	default:
		errs = append(errs, errors.New("answer: none that is known here"))
	}
	return c, errors.Join(errs...)
}

// challengeConfig is the challenges outside of the DNS, and which names are published.
func challengeConfig(l *ledger, routes map[string]route) challenge.Config {
	cfg := challenge.Config{Hostnames: make(map[string]bool, len(routes))}
	for _, c := range values[asked](l, resource.Challenge) {
		if c.text == "" {
			cfg.Challenges = append(cfg.Challenges, c.Challenge)
		}
	}
	for _, r := range routes {
		cfg.Hostnames[r.hostname] = r.mode == sni.HTTP
	}
	return cfg
}
