package acmetest

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// childEnv makes a program that imports this package Pebble, before its main. It holds a child.
const childEnv = "WARREN_ACMETEST_PEBBLE"

// child is what the process that becomes Pebble is told.
type child struct {
	Config
	Cert, Key []byte // PEM of its TLS certificate
	Stdin     bool   // end when it ends
}

// listening is what it tells.
type listening struct{ CA, Management string }

type launch struct {
	env []string
	tls *authority
}

// launch prepares the environment of a child. Pebble takes some of its settings from there.
func (c Config) launch(stdin bool) (*launch, error) {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Management == "" {
		c.Management = "127.0.0.1:0"
	}
	if c.KeyAlgorithm == "" {
		c.KeyAlgorithm = "ecdsa"
	}
	a, err := newAuthority(c.Listen, c.Management)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(child{Config: c, Cert: a.cert, Key: a.key, Stdin: stdin})
	if err != nil {
		return nil, err
	}
	env := []string{
		childEnv + "=" + string(b),
		"PEBBLE_WFE_NONCEREJECT=" + strconv.Itoa(c.NonceReject),
		"PEBBLE_AUTHZREUSE=" + strconv.Itoa(c.AuthzReuse),
		"PEBBLE_WFE_ORDERS_PER_PAGE=100",
	}
	if !c.Slow {
		env = append(env, "PEBBLE_VA_NOSLEEP=1")
	}
	if c.AlwaysValid {
		env = append(env, "PEBBLE_VA_ALWAYS_VALID=1")
	}
	return &launch{env, a}, nil
}

func init() {
	s := os.Getenv(childEnv)
	if s == "" {
		return
	}
	var c child
	err := json.Unmarshal([]byte(s), &c)
	if err == nil {
		err = c.serve()
	}
	fmt.Fprintln(os.Stderr, "pebble:", err)
	os.Exit(1)
}

// serve is Pebble's main with listeners of ours, so that ports may be chosen by the kernel.
func (c *child) serve() error {
	cert, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		return err
	}
	front, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	management, err := net.Listen("tcp", c.Management)
	if err != nil {
		return err
	}
	quiet := log.New(io.Discard, "", 0)
	if os.Getenv("WARREN_ACMETEST_LOG") != "" {
		quiet.SetOutput(os.Stderr)
	}
	profiles := map[string]ca.Profile{}
	for name, p := range c.Profiles {
		profiles[name] = ca.Profile{Description: p.Description, ValidityPeriod: uint64(p.Validity.Seconds())}
	}
	if len(profiles) == 0 {
		profiles["default"] = ca.Profile{Description: "The default profile"}
	}
	if len(c.CAAIdentities) == 0 {
		c.CAAIdentities = []string{"pebble.letsencrypt.org"}
	}
	store := db.NewMemoryStore()
	for id, key := range c.EAB {
		if err := store.AddExternalAccountKeyByID(id, key); err != nil {
			return err
		}
	}
	for _, name := range c.Blocked {
		if err := store.AddBlockedDomain(name); err != nil {
			return err
		}
	}
	issuer := ca.New(quiet, store, "", c.KeyAlgorithm, c.AlternateRoots, 1, profiles)
	validation := va.New(quiet, c.HTTPPort, c.TLSPort, c.Strict, c.DNS, store)
	impl := wfe.New(quiet, store, validation, issuer, c.CAAIdentities, c.Strict, len(c.EAB) > 0, c.RetryAfter.Authz, c.RetryAfter.Order)
	ended := make(chan error, 3)
	serve := func(l net.Listener, h http.Handler) {
		s := &http.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ErrorLog: quiet}
		ended <- s.ServeTLS(l, "", "")
	}
	go serve(front, oneAtATime(impl.Handler()))
	go serve(management, impl.ManagementHandler())
	if err := json.NewEncoder(os.Stdout).Encode(listening{front.Addr().String(), management.Addr().String()}); err != nil {
		return err
	}
	if c.Stdin {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	return <-ended
}

// oneAtATime has Pebble make an order, or list an account's, while it does nothing else that is asked. In newOrder it may wait for ever, and
// everybody with it: it waits for authorizations with its store locked, elsewhere the other way round (FindValidAuthorization, AddChallenge
// and Authz of v2.10.3). In lists it reads the orders' states while others write them (ListOrders and GetOrderByID there), which the race
// detector takes for a failure of the test.
func oneAtATime(h http.Handler) http.Handler {
	var alone sync.RWMutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/order-plz" || strings.HasPrefix(r.URL.Path, "/list-orderz/") {
			alone.Lock()
			defer alone.Unlock()
		} else {
			alone.RLock()
			defer alone.RUnlock()
		}
		h.ServeHTTP(w, r)
	})
}
