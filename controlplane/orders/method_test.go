package orders

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/model"
)

func TestMethod(t *testing.T) {
	both := []model.ChallengeType{model.TLSALPN01, model.HTTP01}
	for _, tt := range []struct {
		may     []model.ChallengeType
		offered []string
		have    model.ChallengeType
		next    bool
		want    string
	}{
		{nil, []string{"http-01", "dns-01"}, "", false, "dns-01"},
		{nil, []string{"http-01"}, "", false, ""},
		{both, []string{"tls-alpn-01", "dns-01", "http-01"}, "", false, "http-01"},
		{both, []string{"tls-alpn-01", "dns-01"}, "", false, "tls-alpn-01"},
		// What is written stays, until nodes that have it do not answer it.
		{both, []string{"tls-alpn-01", "http-01"}, model.TLSALPN01, false, "tls-alpn-01"},
		{both, []string{"tls-alpn-01", "http-01"}, model.HTTP01, true, "tls-alpn-01"},
		{both, []string{"tls-alpn-01", "http-01"}, model.TLSALPN01, true, "http-01"},
		{both, []string{"http-01"}, model.HTTP01, true, "http-01"},
		{both, []string{"http-01"}, model.TLSALPN01, true, "http-01"}, // it is offered no more
		{nil, []string{"dns-01"}, model.DNS01, true, "dns-01"},
	} {
		a := &acme.Authorization{Name: "a.test"}
		for _, o := range tt.offered {
			a.Challenges = append(a.Challenges, acme.Challenge{Type: o, Token: o})
		}
		got := ""
		if c := (Methods{"a.test": {Types: tt.may}}).method(a, tt.have, tt.next); c != nil {
			got = c.Type
		}
		if got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

// Ways that are all closed are tried ever more seldom.
func TestOtherWay(t *testing.T) {
	begun := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	w := &turn{order: model.Order{Intent: begun}}
	flips := 0
	for at, now := begun, begun; now.Before(begun.Add(model.ChallengeLifetime)); now = now.Add(10 * time.Second) {
		row := &model.Challenge{Type: model.HTTP01, Expires: at.Add(model.ChallengeLifetime)}
		if now.After(begun) && w.otherWay([]*model.Challenge{row}, now) {
			flips, at = flips+1, now
			if flips == 1 && now.Sub(begun) != 10*time.Second {
				t.Errorf("the first one after %v", now.Sub(begun))
			}
		}
	}
	if flips < 8 || flips > 16 {
		t.Errorf("%d in %v", flips, model.ChallengeLifetime)
	}
	if w.otherWay([]*model.Challenge{{Type: model.DNS01, Expires: begun}}, begun.Add(time.Minute)) {
		t.Error("there is no other way than the DNS")
	}
}
