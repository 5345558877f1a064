package rest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"github.com/danielgtaylor/huma/v2"
)

// sealMark makes a page token of where a page ended. It is signed, so that nobody makes up his own, with a
// key that all replicas have: the next page may be another one's to serve.
func (a *API) sealMark(scope, mark string) string {
	if mark == "" {
		return ""
	}
	m := hmac.New(sha256.New, a.PageKey)
	m.Write([]byte(scope + "\x00" + mark))
	return base64.RawURLEncoding.EncodeToString(append(m.Sum(nil)[:16], mark...))
}

func (a *API) openMark(scope, token string) (string, error) {
	if token == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err == nil && len(b) > 16 {
		if mark := string(b[16:]); hmac.Equal([]byte(a.sealMark(scope, mark)), []byte(token)) {
			return mark, nil
		}
	}
	const what = "want the next_page_token of the page before, from the same list"
	return "", huma.Error400BadRequest("page_token: "+what, &huma.ErrorDetail{Message: what, Location: "query.page_token"})
}
