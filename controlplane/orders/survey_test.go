package orders

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// registrar is a DNS in which tests delegate domains: Surveyor and Preflight.
type registrar struct {
	mu        sync.Mutex
	delegated map[string]bool
	leadHere  []string
	surveys   int
}

func (r *registrar) set(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn()
}

func (r *registrar) Survey(_ context.Context, d *model.Domain, names []string) (bool, []string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.surveys++
	var out []string
	for _, n := range names {
		if slices.Contains(r.leadHere, n) {
			out = append(out, n)
		}
	}
	return r.delegated[d.Name], out, nil
}

func (r *registrar) Check(_ context.Context, names []string, _ *model.Issuer) (Methods, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := Methods{}
	for _, n := range names {
		_, apex, _ := strings.Cut(n, ".")
		switch {
		case r.delegated[apex] || r.delegated[n]:
			out[strings.TrimPrefix(n, "*.")] = Proof{Types: []model.ChallengeType{model.DNS01}}
		case slices.Contains(r.leadHere, n):
			out[n] = Proof{Types: []model.ChallengeType{model.TLSALPN01, model.HTTP01}}
		default:
			return nil, &Refusal{Reason: n + " is not delegated"}
		}
	}
	return out, nil
}

// applied is a Gate that waits for the model, as nodes that answer from it do.
type applied struct{ world *model.Current }

func (a applied) Ready(ctx context.Context, rev model.Revision, _ []*model.Challenge) error {
	_, err := a.world.Wait(ctx, rev)
	return err
}

// plain answers http-01 from the model, as nodes do on port 80, and returns its port.
func (r *rig) plain(t *testing.T, l net.Listener) {
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		for c := range r.world.Get().Challenges() {
			if host, _, _ := strings.Cut(q.Host, ":"); c.Type == model.HTTP01 && c.Name == host && strings.HasSuffix(q.URL.Path, "/"+c.Token) {
				fmt.Fprint(w, string(c.Value))
				return
			}
		}
		http.NotFound(w, q)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
}

// A service on a domain that nobody has delegated gets its certificate by HTTP-01 without anything configured, once its name leads
// here. When the domain is delegated later, apex and wildcard take over; what was there before gives way.
func TestUndelegatedDomain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, acmetest.Config{HTTPPort: l.Addr().(*net.TCPAddr).Port})
	r.plain(t, l)
	reg := &registrar{delegated: map[string]bool{}}
	o := r.options("a")
	o.Preflight, o.Gate = reg, applied{r.world}
	w, _ := r.run(t, o)
	s := NewSurvey(w, reg)
	look := func() {
		t.Helper()
		if err := s.Look(t.Context(), r.world.Get()); err != nil {
			t.Fatal(err)
		}
	}
	r.publish(t, "far.test")
	r.until(t, "the refusal of what can't be proved", time.Minute, func(tx *store.Tx) (bool, error) {
		all := r.managed(t, tx)
		return len(all) == 1 && strings.HasSuffix(all[0].LastProblem, "is not delegated"), nil
	})
	look()
	if n := reg.surveys; n != 1 {
		t.Fatalf("%d surveys", n)
	}
	look() // a refusal has it asked again at once; then it is known
	look()
	if n := reg.surveys; n > 2 {
		t.Errorf("%d surveys of a domain that is known", n)
	}
	recheck := func() {
		r.tx(t, func(tx *store.Tx) error {
			return tx.RecheckDomains(t.Context(), r.org.ID, []string{"www.far.test"}, time.Now())
		})
	}

	reg.set(func() { reg.leadHere = []string{"www.far.test"} })
	recheck()
	look()
	exact := r.wait(t, "www.far.test")
	r.usable(t, exact)
	r.tx(t, func(tx *store.Tx) error {
		for _, m := range r.managed(t, tx) {
			if m.Wanted != (m.Names[0] == "www.far.test") {
				t.Errorf("%v: wanted %v", m.Names, m.Wanted)
			}
		}
		return nil
	})

	reg.set(func() { reg.delegated["far.test"] = true })
	recheck()
	look()
	whole := r.wait(t, "*.far.test")
	r.usable(t, whole)
	r.until(t, "the exact one to give way", time.Minute, func(tx *store.Tx) (bool, error) {
		c, err := tx.GetCertificate(t.Context(), exact.ID)
		return err == nil && c.SupersededBy == whole.ID, err
	})
	// Nobody has it delegated any more: what gave way is ordered anew, at once.
	reg.set(func() { reg.delegated["far.test"] = false })
	recheck()
	look()
	r.until(t, "another exact one", time.Minute, func(tx *store.Tx) (bool, error) {
		m, err := tx.GetManagedCertificate(t.Context(), exact.Managed)
		return err == nil && m.Wanted && m.Certificate != exact.ID, err
	})
}

// wait returns the certificate that is kept for a name, once there is one that all have.
func (r *rig) wait(t *testing.T, name string) (c *model.Certificate) {
	t.Helper()
	r.until(t, "certificate of "+name, time.Minute, func(tx *store.Tx) (bool, error) {
		all, err := tx.FindManagedCertificates(t.Context(), r.org.ID, name)
		if err != nil || len(all) == 0 || !all[0].Wanted || all[0].Certificate.IsZero() {
			return false, err
		}
		c, err = tx.GetCertificate(t.Context(), all[0].Certificate)
		return err == nil, err
	})
	return c
}

// Whoever delegates a domain after refusals in a row does not wait for the next rung of the ladder.
func TestDelegatedLater(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	reg := &registrar{delegated: map[string]bool{}}
	o := r.options("a")
	o.Preflight = reg
	w, _ := r.run(t, o)
	s := NewSurvey(w, reg)
	r.publish(t, "late.test")
	r.until(t, "the refusal", 30*time.Second, func(tx *store.Tx) (bool, error) {
		all := r.managed(t, tx)
		return len(all) == 1 && strings.HasSuffix(all[0].LastProblem, "is not delegated"), nil
	})
	look := func() {
		t.Helper()
		if err := s.Look(t.Context(), r.world.Get()); err != nil {
			t.Fatal(err)
		}
	}
	look()
	reg.set(func() { reg.delegated["late.test"] = true })
	r.tx(t, func(tx *store.Tx) error {
		m, err := tx.LockManagedCertificate(t.Context(), r.managed(t, tx)[0].ID)
		if err != nil {
			return err
		}
		m.LadderStep, m.NextAttempt = 9, time.Now().Add(6*time.Hour)
		return errors.Join(tx.UpdateManagedCertificate(t.Context(), m), tx.RecheckDomains(t.Context(), r.org.ID, []string{"late.test"}, time.Now()))
	})
	look()
	r.usable(t, r.wait(t, "*.late.test"))
}
