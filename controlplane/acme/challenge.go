package acme

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// KeyAuthorization is what proves control of a name: the challenge's token and the thumbprint of the account
// key (RFC 8555 §8.1).
func KeyAuthorization(token string, key crypto.Signer) (string, error) {
	if err := checkToken(token); err != nil {
		return "", err
	}
	if err := checkKey(key); err != nil {
		return "", err
	}
	thumb, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	return token + "." + base64.RawURLEncoding.EncodeToString(thumb), nil
}

// TXTValue is the value of _acme-challenge's TXT record for dns-01 (RFC 8555 §8.4).
func TXTValue(keyAuthorization string) string {
	sum := sha256.Sum256([]byte(keyAuthorization))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func checkToken(token string) error {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if token == "" || len(token) > 255 || strings.Trim(token, alphabet) != "" {
		return errors.New("the token is not base64url of at most 255 characters")
	}
	return nil
}
