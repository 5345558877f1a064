package orders

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

const day = 24 * time.Hour

// simulated is the real planner, worker and database in simulated time (testing/synctest). The authority is in memory.
type simulated struct {
	t      testing.TB
	db     *store.Store
	sealer *authority.Sealer
	world  *model.Current
	ca     *local
	issuer *model.Issuer
	org    *model.Organization
	pool   *model.Pool
	w      *Worker
	p      *Planner
}

// simulate begins in a bubble, at a moment: databases are made outside, where time is the server's.
func simulate(t testing.TB, dsn string, begin time.Time, limits model.IssuerLimits) *simulated {
	t.Helper()
	time.Sleep(time.Until(begin))
	s := &simulated{t: t, db: storetest.Open(t, dsn), world: model.NewCurrent(), ca: newLocal(t)}
	kek, err := authority.NewKEK()
	s.must(err)
	s.sealer, err = authority.NewSealer(kek)
	s.must(err)
	s.org, s.pool = &model.Organization{ID: model.OrgID{}.New(), Name: "o"}, &model.Pool{ID: model.PoolID{}.New(), Name: "p"}
	s.issuer = &model.Issuer{ID: model.IssuerID{}.New(), Name: "local", DirectoryURL: localURL + "dir", Rank: 1, Limits: limits, CAAIdentities: []string{"ca.test"}}
	_, keyPEM, err := newKey(model.ECDSA)
	s.must(err)
	s.tx(func(tx *store.Tx) error {
		ctx := t.Context()
		sealed, err := s.sealer.Seal(keyPEM, s.issuer.ID.String())
		return errors.Join(err, tx.CreateOrganization(ctx, s.org), tx.CreatePool(ctx, s.pool), tx.CreateIssuer(ctx, s.issuer),
			tx.SetAccountKeys(ctx, s.issuer.ID, sealed, nil), tx.SetAccountURL(ctx, s.issuer.ID, localURL+"account"), tx.SetDirectory(ctx, s.issuer.ID, nil, begin))
	})
	s.tx(func(tx *store.Tx) (err error) { s.issuer, err = tx.GetIssuer(t.Context(), s.issuer.ID); return err })
	s.restart()
	return s
}

func (s *simulated) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *simulated) tx(fn func(*store.Tx) error) {
	s.t.Helper()
	_, err := s.db.Tx(s.t.Context(), "test", fn)
	s.must(err)
}

// update writes what an operator says of the issuer.
func (s *simulated) update() {
	s.t.Helper()
	s.tx(func(tx *store.Tx) error { return tx.UpdateIssuer(s.t.Context(), s.issuer) })
}

// restart is another replica that knows what is in the database.
func (s *simulated) restart() {
	s.t.Helper()
	s.w = New(Options{
		Store: s.db, Sealer: s.sealer, World: s.world, Gate: open{}, Preflight: &allowing{}, Fleet: &nodes{}, Replica: "r", UserAgent: "warren-test",
		Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(),
	})
	s.p = NewPlanner(s.w)
	keyPEM, err := s.sealer.Open(s.issuer.SealedAccountKey, s.issuer.ID.String())
	s.must(err)
	key, err := parseKey(keyPEM)
	s.must(err)
	client, err := acme.New(acme.Options{Directory: s.issuer.DirectoryURL, Key: key, AccountURL: s.issuer.AccountURL, Transport: patient{s.ca, s.issuer.ID, s.w.pauses}})
	s.must(err)
	s.w.accounts.open[s.issuer.ID] = &account{
		ca: steady{over{client, s.ca}, s.issuer.ID, s.w.pauses}, key: key, url: s.issuer.AccountURL, sealed: s.issuer.SealedAccountKey, rootsPEM: s.issuer.RootsPEM,
		directory: s.issuer.DirectoryURL, close: func() {},
	}
}

// follow is what the feed does.
func (s *simulated) follow() *model.Model {
	s.t.Helper()
	for {
		m := s.world.Get()
		b, err := s.db.Changes(s.t.Context(), m.Revision(), 1000)
		s.must(err)
		if b.To == m.Revision() {
			return m
		}
		s.world.Set(m.Apply(b))
	}
}

// step plans, and carries whatever is due, one after the other.
func (s *simulated) step() *model.Model {
	s.t.Helper()
	s.must(s.p.Plan(s.t.Context(), s.follow(), time.Now()))
	for {
		o, err := s.db.ClaimOrder(s.t.Context(), "r", time.Minute, time.Now())
		if fault.Of(err) == fault.NotFound {
			return s.follow()
		}
		s.must(err)
		s.w.carry(s.t.Context(), o)
	}
}

func (s *simulated) publish(apex string) *model.Service {
	s.t.Helper()
	d := &model.Domain{ID: model.DomainID{}.New(), Org: s.org.ID, Name: apex, Pool: s.pool.ID}
	v := &model.Service{ID: model.ServiceID{}.New(), Org: s.org.ID, Name: strings.ReplaceAll(apex, ".", "-"), Kind: model.HTTP, Hostname: "www." + apex, Pool: s.pool.ID}
	s.tx(func(tx *store.Tx) error {
		return errors.Join(tx.CreateDomain(s.t.Context(), d), tx.CreateService(s.t.Context(), v))
	})
	return v
}

const localURL = "https://ca.test/"

// local is an authority in memory, which is convinced of everything at once. Its clock is the caller's.
type local struct {
	away   bool
	life   time.Duration
	ahead  time.Duration // of its clock
	key    crypto.Signer
	root   *x509.Certificate
	orders map[string]*acme.Order // by URL
	chains map[string][]byte
	serial int64
	asked  int                                    // while it is away
	info   func() (status int, kind, body string) // what it answers about renewal; nil: 404
	limit  func() (after string)                  // the Retry-After of a 429 that newOrder gets; nil: it makes orders

	one sync.Mutex // request at a time
}

func newLocal(t testing.TB) *local {
	t.Helper()
	key, _, err := newKey(model.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "local"}, NotBefore: time.Now(), NotAfter: time.Now().Add(3650 * day), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte("local"),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &local{life: 90 * day, key: key, root: root, orders: map[string]*acme.Order{}, chains: map[string][]byte{}, serial: 1}
}

// RoundTrip implements http.RoundTripper: what a real client is answered.
func (l *local) RoundTrip(r *http.Request) (*http.Response, error) {
	l.one.Lock()
	defer l.one.Unlock()
	if l.away {
		l.asked++
		return nil, errors.New("connect: connection refused")
	}
	status, kind, body := http.StatusNotFound, "application/problem+json", `{"type":"urn:ietf:params:acme:error:malformed","status":404}`
	switch {
	case r.URL.Path == "/dir":
		status, kind = http.StatusOK, "application/json"
		body = fmt.Sprintf(`{"newNonce":"%[1]sn","newAccount":"%[1]sa","newOrder":"%[1]so","revokeCert":"%[1]sr","keyChange":"%[1]sk","renewalInfo":"%[1]sari"}`, localURL)
	case r.URL.Path == "/n":
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Replay-Nonce": {"n"}}, Body: http.NoBody, Request: r, ProtoMajor: 1, ProtoMinor: 1}, nil
	case r.URL.Path == "/o":
		h := http.Header{"Content-Type": {kind}, "Date": {time.Now().Add(l.ahead).UTC().Format(http.TimeFormat)}, "Retry-After": {l.limit()}}
		body = `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}`
		return &http.Response{StatusCode: http.StatusTooManyRequests, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r, ProtoMajor: 1, ProtoMinor: 1}, nil
	case l.info != nil:
		status, kind, body = l.info()
	}
	h := http.Header{"Content-Type": {kind}}
	if status == http.StatusOK {
		h.Set("Retry-After", strconv.Itoa(int(6*time.Hour/time.Second)))
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r, ProtoMajor: 1, ProtoMinor: 1}, nil
}

// chain issues for a request.
func (l *local) chain(csrDER []byte) ([]byte, error) {
	csr, err := x509.ParseCertificateRequest(csrDER)
	if err != nil {
		return nil, err
	}
	l.serial++
	now := time.Now().Add(l.ahead)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(l.serial), DNSNames: csr.DNSNames, NotBefore: now, NotAfter: now.Add(l.life), KeyUsage: x509.KeyUsageDigitalSignature,
	}, l.root, csr.PublicKey, l.key)
	if err != nil {
		return nil, err
	}
	block := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }
	return append(block(der), block(l.root.Raw)...), nil
}

// over is a client whose orders are in memory.
type over struct {
	*acme.Client
	l *local
}

func (o over) reach() error {
	if o.l.away {
		o.l.asked++
		return errors.New("connect: connection refused")
	}
	return nil
}

func (o over) Directory(context.Context) (acme.Directory, error) { return acme.Directory{}, o.reach() }

func (o over) Orders(context.Context) (urls []string, err error) {
	for url := range o.l.orders {
		urls = append(urls, url)
	}
	return urls, o.reach()
}

func (o over) NewOrder(ctx context.Context, names []string, profile, replaces string) (*acme.Order, error) {
	if err := o.reach(); err != nil {
		return nil, err
	}
	if o.l.limit != nil {
		return o.Client.NewOrder(ctx, names, profile, replaces)
	}
	url := fmt.Sprintf("%sorder/%d", localURL, len(o.l.orders))
	v := &acme.Order{URL: url, Status: acme.StatusReady, Names: names, Profile: profile, Replaces: replaces, Finalize: url + "/finalize"}
	o.l.orders[url] = v
	return v, nil
}

func (o over) Order(_ context.Context, url string) (*acme.Order, error) {
	if err := o.reach(); err != nil {
		return nil, err
	}
	c := *o.l.orders[url]
	return &c, nil
}

func (o over) Finalize(_ context.Context, v *acme.Order, csr []byte) (*acme.Order, error) {
	if err := o.reach(); err != nil {
		return nil, err
	}
	chain, err := o.l.chain(csr)
	v = o.l.orders[v.URL]
	v.Status, v.Certificate = acme.StatusValid, v.URL+"/certificate"
	o.l.chains[v.Certificate] = chain
	return v, err
}

func (o over) Certificate(_ context.Context, url string) ([]byte, []string, error) {
	return o.l.chains[url], nil, o.reach()
}
