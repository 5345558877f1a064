package snapshot

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// challenge compiles what the nodes that serve a name's domain answer to a certificate authority. When it expires
// is no criterion here: nodes know the time, and the same rows must give the same bytes at any.
func challenge(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	v := m.Challenge(model.ChallengeID{UUID: id})
	if v == nil {
		return nil
	}
	d := &draft{name: resource.Name("challenge", v.Org.String(), v.ID.String())}
	domain := m.DomainCovering(v.Name)
	if domain == nil || domain.Org != v.Org {
		d.err = errors.New("the name is in no domain of its organization")
		return d
	}
	d.scopes = []string{poolScope(domain.Pool)}
	msg := &nodev1.Challenge{Id: v.ID.String(), Name: v.Name, ExpiresAt: timestamppb.New(v.Expires)}
	switch v.Type {
	case model.DNS01:
		msg.Answer = &nodev1.Challenge_Dns{Dns: &nodev1.DNSChallenge{Text: string(v.Value)}}
	case model.HTTP01:
		msg.Answer = &nodev1.Challenge_Http{Http: &nodev1.HTTPChallenge{Token: v.Token, KeyAuthorization: string(v.Value)}}
	case model.TLSALPN01:
		digest, err := base64.RawURLEncoding.DecodeString(string(v.Value))
		if err != nil || len(digest) != sha256.Size {
			d.err = errors.New("the value is no SHA-256 digest as base64url")
			return d
		}
		msg.Answer = &nodev1.Challenge_TlsAlpn{TlsAlpn: &nodev1.TLSALPNChallenge{Digest: digest}}
	default:
		d.err = fmt.Errorf("type %q is not known", v.Type)
		return d
	}
	d.msg = msg
	return d
}
