package join

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	enrollv1 "github.com/warrenedge/warren/api/enroll/v1"
	"github.com/warrenedge/warren/shared/atomicfile"
	"github.com/warrenedge/warren/shared/backoff"
	"github.com/warrenedge/warren/shared/identity"
)

// Connector gives connections to the control plane.
type Connector interface {
	Conn(ctx context.Context) (*grpc.ClientConn, error)
}

// Renewer replaces the certificate before it ends. Nothing that serves depends on it.
type Renewer struct {
	id    *Identity
	conns Connector
}

// NewRenewer makes a Renewer; Run does the work.
func NewRenewer(id *Identity, conns Connector, reg prometheus.Registerer) *Renewer {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "node_identity_expires_timestamp_seconds", Help: "When the identity certificate ends; it is renewed after a third of its life.",
	}, func() float64 { return float64(id.cert.Load().Leaf.NotAfter.Unix()) }))
	return &Renewer{id, conns}
}

// String names the task.
func (r *Renewer) String() string { return "identity renewal" }

// RenewAt is when a certificate is to be renewed: after a third of its life.
func RenewAt(notBefore, notAfter time.Time) time.Time {
	return notBefore.Add(notAfter.Sub(notBefore) / 3)
}

// look is how often the clock is asked, so that a jump of it, or a machine that slept, is noticed.
const look = time.Minute

// Run renews until ctx ends.
func (r *Renewer) Run(ctx context.Context) error {
	wait := backoff.Backoff{Min: time.Second, Max: 10 * time.Minute}
	for {
		leaf := r.id.cert.Load().Leaf
		if time.Now().Before(RenewAt(leaf.NotBefore, leaf.NotAfter)) {
			timer := time.NewTimer(look)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
			}
			continue
		}
		err := r.renew(ctx)
		if err == nil {
			wait.Reset()
			r.id.log.Info("identity renewed", "until", r.id.cert.Load().Leaf.NotAfter)
			continue
		}
		r.complain(leaf.NotAfter, err)
		if !wait.Wait(ctx) {
			return nil
		}
	}
}

// complain says that a renewal has failed. Who was away until his certificate had ended is not let in to have it renewed.
func (r *Renewer) complain(ends time.Time, err error) {
	if time.Now().Before(ends) {
		r.id.log.Warn("identity not renewed", "until", ends, "err", err)
		return
	}
	again := "warren node join"
	if r.id.Kind == identity.Connector {
		again = "warren site join"
	}
	r.id.log.Error("the identity has expired, and the control plane takes it no more: empty the state directory and start with a new token of "+again+
		", unless it is this machine's clock that is wrong", "dir", r.id.dir, "until", ends, "err", err)
}

// renew has the same key signed again. The key was made here and never left, and with one file to swap
// nothing can be half swapped.
func (r *Renewer) renew(ctx context.Context) error {
	conn, err := r.conns.Conn(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	csr, err := request(r.id.dir, keyFile)
	if err != nil {
		return err
	}
	resp, err := enrollv1.NewEnrollmentServiceClient(conn).Renew(ctx, &enrollv1.RenewRequest{CsrDer: csr})
	if err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	if err := r.id.Trust(resp.GetIdentityAuthoritiesPem()); err != nil {
		return err
	}
	path := filepath.Join(r.id.dir, certFile)
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(path, resp.GetCertificatePem()); err != nil {
		return err
	}
	if err := r.id.reload(); err != nil { // what came is no use: keep what we had
		_ = atomicfile.Write(path, old)
		return err
	}
	return nil
}
