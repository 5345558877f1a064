package outside

import (
	"context"
	"encoding/pem"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// A node that goes on answering with a certificate that was replaced is counted after a minute, until it answers with the newest.
func TestOlderCertificate(t *testing.T) {
	b, err := modeltest.Parse(0, rows+`
	certificate old organization=acme names=*.example.org expires=2026-04-01 key=ecdsa issuer=le superseded=new
	certificate new organization=acme names=*.example.org expires=2026-06-01 key=ecdsa issuer=le
	certificate rsa organization=acme names=*.example.org expires=2026-06-01 key=rsa issuer=le
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "new", "rsa"} {
		b.Certificates[model.CertificateID{UUID: modeltest.UUID("certificate", name)}].ChainPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(name)})
	}
	bubbletest.Run(t, func(t *testing.T) {
		w := newWatch(t)
		w.with.World.Set(model.Empty().Apply(b))
		var shown atomic.Value
		shown.Store("new")
		w.ask = func(_ context.Context, q question) answers {
			if q.node == node("n1") {
				return answers{leaf: []byte(shown.Load().(string))}
			}
			return answers{leaf: []byte("rsa")}
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		for _, step := range []struct {
			shows string
			lasts time.Duration
			want  float64
		}{
			{"new", settling, 0}, {"old", settling - 2*every, 0}, {"old", 4 * every, 1}, {"new", 2 * every, 0}, {"old", settling / 2, 0},
			{"somebody else's", 2 * settling, 0}, {"", 2 * every, 0}, {"old", settling - 2*every, 0},
		} {
			shown.Store(step.shows)
			time.Sleep(step.lasts)
			synctest.Wait()
			if got := testutil.ToFloat64(w.m.older); got != step.want {
				t.Errorf("%q for %v: %v nodes are counted", step.shows, step.lasts, got)
			}
			if s := w.Sight(node("n1")); s.Older != (step.want > 0) {
				t.Errorf("%q for %v: %+v", step.shows, step.lasts, s)
			}
		}
		stop()
		<-done
	})
}
