package apply

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
)

func TestDecodeRevocation(t *testing.T) {
	at := &timestamppb.Timestamp{Seconds: 1}
	for name, tt := range map[string]struct {
		m    *nodev1.Revocation
		want string
	}{
		"session":       {&nodev1.Revocation{What: &nodev1.Revocation_Session{Session: "s"}, Before: at}, ""},
		"subject":       {&nodev1.Revocation{What: &nodev1.Revocation_Subject{Subject: "s"}, Before: at}, ""},
		"nothing":       {&nodev1.Revocation{Before: at}, "what"},
		"empty session": {&nodev1.Revocation{What: &nodev1.Revocation_Session{}, Before: at}, "what"},
		"no time":       {&nodev1.Revocation{What: &nodev1.Revocation_Subject{Subject: "s"}}, "before"},
	} {
		if _, err := decodeRevocation(tt.m); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignInURL(t *testing.T) {
	for in, good := range map[string]bool{
		"": true, "https://warren.example.org": true, "https://warren.example.org:8443": true, "http://127.0.0.1:7080": true,
		"javascript:alert(1)": false, "https://": false, "//evil.example": false, "https://a@evil.example": false, "https://example.org/x": false, "https://example.org?x": false,
	} {
		if _, err := signInURL(in); (err == nil) != good {
			t.Errorf("%q: %v", in, err)
		}
	}
}
