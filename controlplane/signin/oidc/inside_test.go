package oidc

import (
	"net/http"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/outbound"
	"github.com/warrenedge/warren/controlplane/signin/oidc/oidctest"
)

// T39: a provider's addresses lead nowhere where only we can get.
func TestT39AProviderInsideIsNotReached(t *testing.T) {
	r := newRig(t)
	asked := 0
	r.idp.Lie(oidctest.Lies{HTTP: func(http.ResponseWriter, *http.Request) bool { asked++; return false }})
	c := New(outbound.Policy{}.Client(time.Minute))
	if _, _, err := c.Begin(t.Context(), r.cfg); fault.Of(err) != fault.Unavailable || !outbound.IsRefused(err) {
		t.Errorf("%v", err)
	}
	if asked != 0 {
		t.Errorf("asked %d times", asked)
	}
}
