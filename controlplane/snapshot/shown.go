package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/shared/resource"
)

// Secret reports whether contents of a type may hold something that is nobody's to see.
func Secret(typeURL string) bool {
	switch typeURL {
	case resource.Certificate, resource.Challenge, resource.Policy, resource.NodeConfig:
		return true
	}
	return false
}

// Shown is a resource's content for people, without its secrets: keys become fingerprints.
func Shown(body *anypb.Any) (json.RawMessage, error) {
	msg, err := body.UnmarshalNew()
	if err != nil {
		return nil, err
	}
	shown := map[string]any{}
	switch m := msg.(type) {
	case *nodev1.Certificate:
		shown["privateKeySha256"] = fingerprint(m.GetPrivateKeyPem())
		m.PrivateKeyPem = nil
	case *nodev1.Challenge:
		shown["answerSha256"] = fingerprint([]byte(m.GetDns().GetText() + m.GetHttp().GetKeyAuthorization() + string(m.GetTlsAlpn().GetDigest())))
		if d := m.GetDns(); d != nil {
			d.Text = ""
		}
		if h := m.GetHttp(); h != nil {
			h.KeyAuthorization = ""
		}
		if t := m.GetTlsAlpn(); t != nil {
			t.Digest = nil
		}
	case *nodev1.Policy:
		shown["credentialsSha256"] = hideCredentials(m.GetAuthentication())
	case *nodev1.NodeConfig:
		keys := []string{}
		for _, k := range m.GetGossipKeys() {
			keys = append(keys, fingerprint(k))
		}
		shown["gossipKeySha256"] = keys
		tickets := []string{}
		for _, k := range m.GetTicketKeys() {
			tickets = append(tickets, fingerprint(k))
		}
		shown["ticketKeySha256"] = tickets
		m.GossipKeys, m.TicketKeys = nil, nil
	}
	b, err := protojson.Marshal(msg)
	if err != nil || len(shown) == 0 {
		return b, err
	}
	if err := json.Unmarshal(b, &shown); err != nil {
		return nil, err
	}
	return json.Marshal(shown)
}

// hideCredentials takes out what secrets are checked with, and gives its fingerprints: hashes of PINs can be guessed.
func hideCredentials(a *nodev1.PolicyAuthentication) map[string]string {
	out := map[string]string{}
	hide := func(name string, secret *string) {
		if *secret != "" {
			out[name], *secret = fingerprint([]byte(*secret)), ""
		}
	}
	if a == nil {
		return out
	}
	hide("pin", &a.PinHash)
	hide("password", &a.PasswordHash)
	for _, b := range a.GetBasic() {
		hide("basic/"+b.GetUser(), &b.PasswordHash)
	}
	for _, l := range a.GetShareLinks() {
		out[l.GetShareLinkId()], l.SecretSha256 = fingerprint(l.GetSecretSha256()), nil
	}
	for _, t := range a.GetServiceTokens() {
		out[t.GetServiceTokenId()], t.SecretSha256 = fingerprint(t.GetSecretSha256()), nil
	}
	return out
}

func fingerprint(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}
