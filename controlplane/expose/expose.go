// Package expose publishes what runs on this machine for as long as it is asked to.
//
// All it makes is in one set of manifests with a lifetime, which it renews: what a program leaves behind that could not say
// good-bye is removed by the control plane.
package expose

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// Lifetime is how long what is published stays when nothing is heard of this program, if nothing else is said.
const Lifetime = time.Minute

const (
	renewals = 4                // in a lifetime
	endTime  = 10 * time.Second // to remove it at the end
)

// Options say what to publish, and how.
type Options struct {
	API  typed.Client
	Org  string
	Name string // of all that is made; "": made up
	What Backend

	Domain string // in which the hostname stands; "": the organization's only one
	Pool   string // of a port: whose nodes open it
	Port   int    // at the nodes, of a port; 0: one that is free
	Guard  Guard

	Lifetime time.Duration // Lifetime if zero

	Site      string   // through whose connectors it is reached; "": through one that is started here
	Connector string   // program to start; looked for beside this one, then in PATH, if ""
	Control   []string // push ports for it; what the control plane says, if nil
	StateDir  string   // folder in which it keeps its state

	Edges func(ctx context.Context, pool string) ([]netip.AddrPort, error) // TLS ports of a pool's nodes, as far as the caller may know them
	Roots *x509.CertPool                                                   // the cluster's own authority
	Ready func(Published) error                                            // told once, when it answers
	Say   func(format string, args ...any)
}

// Published is what came of it.
type Published struct {
	URL      string `json:"url"`
	Name     string `json:"name"`
	Site     string `json:"site"`
	Verified bool   `json:"verified"`           // it was asked for from here, and answered
	OwnCA    bool   `json:"own_ca,omitempty"`   // its certificate is of the cluster's own authority
	Password string `json:"password,omitempty"` // that was made up
	PIN      string `json:"pin,omitempty"`
	Port     int    `json:"port,omitempty"` // of raw connections: at the nodes
}

// run is one call of Run.
type run struct {
	Options
	pool string // whose nodes serve it
	host string // of http
	own  *connector
	told bool
}

// Run publishes, renews until ctx ends, and removes what it has published.
func Run(ctx context.Context, o Options) (err error) {
	r := &run{Options: o}
	if r.Name == "" {
		r.Name = "expose-" + word(6)
	}
	if r.Lifetime == 0 {
		r.Lifetime = Lifetime
	}
	if err := r.choose(ctx); err != nil {
		return err
	}
	defer func() {
		r.own.stop()
		if ended := r.remove(context.WithoutCancel(ctx)); ended != nil {
			err = errors.Join(err, fmt.Errorf("remove what was published, which goes by itself within %s: %w", r.Lifetime, ended))
		}
	}()
	for {
		if err := r.publish(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		err := r.renew(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, errPassed):
			return err
		}
		r.Say("nothing was heard from here for too long, so it was removed: publishing it again")
	}
}

// errPassed is that the control plane has removed what was published.
var errPassed = errors.New("removed")

// publish makes the objects, starts a connector if there is none, and waits until the URL answers.
func (r *run) publish(ctx context.Context) error {
	rev, err := r.apply(ctx)
	if err != nil {
		return err
	}
	if r.Site == "" {
		r.own.stop()
		if r.own, err = r.connect(ctx); err != nil {
			return err
		}
	}
	p := Published{URL: r.url(), Name: r.Name, Site: r.site(), Password: r.Guard.Made.Password, PIN: r.Guard.Made.PIN, Port: r.Port}
	if err := r.answers(ctx, &p, rev); err != nil || r.told {
		return err
	}
	r.told = true
	return r.Ready(p)
}

// renew keeps what is published until ctx ends, the connector does, or the control plane has removed it.
func (r *run) renew(ctx context.Context) error {
	tick := time.NewTicker(r.Lifetime / renewals)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.own.failed():
			return r.own.lastWords()
		case <-tick.C:
		}
		_, _, err := r.API.RenewManifestSet(ctx, r.Org, r.Name)
		switch status := apiclient.StatusOf(err); {
		case status == http.StatusNotFound:
			return errPassed
		case status == http.StatusUnauthorized || status == http.StatusForbidden:
			return err
		case err != nil && !away && ctx.Err() == nil:
			r.Say("the control plane does not answer, it is asked again: %v", err)
		case err == nil && away:
			r.Say("the control plane answers again")
		}
		away = err != nil
	}
}

// remove ends what was published.
func (r *run) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	prune := true
	_, _, err := r.API.ApplyManifests(ctx, r.Org, typed.ApplyManifestsParams{}, typed.ApplyInputBody{Set: r.Name, Prune: &prune, Documents: []typed.Manifest{}})
	return err
}
