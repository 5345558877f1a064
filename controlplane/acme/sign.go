package acme

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// sign makes a JWS as RFC 8555 §6.2 wants it: with kid, or with the public key if kid is empty; without a
// nonce if there is no source.
func sign(payload []byte, key crypto.Signer, kid, url string, nonces jose.NonceSource) ([]byte, error) {
	alg := jose.RS256
	if k, ok := key.(*ecdsa.PrivateKey); ok {
		if alg = jose.ES256; k.Curve == elliptic.P384() {
			alg = jose.ES384
		}
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}},
		&jose.SignerOptions{NonceSource: nonces, EmbedJWK: kid == "", ExtraHeaders: map[jose.HeaderKey]any{"url": url}},
	)
	if err != nil {
		return nil, err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return nil, err
	}
	return []byte(signed.FullSerialize()), nil
}

// Nonce implements jose.NonceSource for requests that lego's Core does not make.
func (e *exchange) Nonce() (string, error) {
	req, err := http.NewRequest(http.MethodHead, e.dir.NewNonceURL, nil)
	if err != nil {
		return "", err
	}
	resp, err := e.RoundTrip(req)
	if err != nil {
		return "", err
	}
	return resp.Header.Get("Replay-Nonce"), resp.Body.Close()
}
