// Package passkey registers and checks passkeys (WebAuthn) for the one origin that the settings name.
//
// A ceremony has two halves. The first makes options for the browser, with a challenge in them, and a State that the
// caller keeps where the browser can't change it, for one use; the second takes what the browser says to that.
package passkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/warrenedge/warren/controlplane/fault"
)

// Life of a ceremony.
const Life = 5 * time.Minute

// User is whose passkeys these are.
type User struct {
	Handle []byte // says nothing about the user; the browser gives it back
	Email  string
	Name   string
	Keys   []Key
}

// Key is a passkey as it is kept: what the library has to know of it again.
type Key struct {
	ID     []byte
	Record []byte // JSON
}

// State is what is kept between the halves of a ceremony.
type State []byte

// Ceremonies are those of one origin. Safe for concurrent use.
type Ceremonies struct{ w *webauthn.WebAuthn }

// ErrRefused is all that is told about what a browser said that does not hold.
var ErrRefused = fault.New(fault.Denied, "the passkey was not accepted")

// New makes the ceremonies of the origin of a URL. Browsers know no passkeys of addresses: then the error says so.
func New(base *url.URL) (*Ceremonies, error) {
	if net.ParseIP(base.Hostname()) != nil {
		return nil, errors.New("passkeys need a name, and the url has an address")
	}
	enforce := webauthn.TimeoutConfig{Enforce: true, Timeout: Life, TimeoutUVD: Life}
	w, err := webauthn.New(&webauthn.Config{
		RPID: base.Hostname(), RPDisplayName: "Warren", RPOrigins: []string{base.Scheme + "://" + base.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{Login: enforce, Registration: enforce},
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys of %s: %w", base, err)
	}
	return &Ceremonies{w}, nil
}

// BeginRegistration makes the options for a browser that is to make a passkey.
func (c *Ceremonies) BeginRegistration(u User) (options []byte, s State, err error) {
	have, err := u.credentials()
	if err != nil {
		return nil, nil, err
	}
	creation, data, err := c.w.BeginRegistration(account{u, have}, webauthn.WithExclusions(webauthn.Credentials(have).CredentialDescriptors()))
	if err != nil {
		return nil, nil, fmt.Errorf("passkey: begin registration: %w", err)
	}
	return pack(creation, data)
}

// FinishRegistration checks what the browser said and returns the new passkey.
func (c *Ceremonies) FinishRegistration(u User, s State, said []byte) (Key, error) {
	data, err := s.open()
	if err != nil {
		return Key{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(said)
	if err != nil {
		return Key{}, refused(err)
	}
	have, err := u.credentials()
	if err != nil {
		return Key{}, err
	}
	cred, err := c.w.CreateCredential(account{u, have}, data, parsed)
	if err != nil {
		return Key{}, refused(err)
	}
	return keep(cred)
}

// BeginSignIn makes the options for a browser that is to show any passkey that it has for us.
func (c *Ceremonies) BeginSignIn() (options []byte, s State, err error) {
	assertion, data, err := c.w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, nil, fmt.Errorf("passkey: begin sign-in: %w", err)
	}
	return pack(assertion, data)
}

// FinishSignIn checks what the browser said. find returns the user of a handle; the key that is returned is to be kept
// instead of the one with its id.
func (c *Ceremonies) FinishSignIn(s State, said []byte, find func(handle []byte) (User, error)) (Key, error) {
	data, err := s.open()
	if err != nil {
		return Key{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(said)
	if err != nil {
		return Key{}, refused(err)
	}
	var failed error // of find, when it is no refusal
	cred, err := c.w.ValidateDiscoverableLogin(func(_, handle []byte) (webauthn.User, error) {
		u, err := find(handle)
		if err != nil {
			if k := fault.Of(err); k != fault.NotFound && k != fault.Denied {
				failed = err
			}
			return nil, err
		}
		have, err := u.credentials()
		return account{u, have}, err
	}, data, parsed)
	switch {
	case failed != nil:
		return Key{}, failed
	case err != nil:
		return Key{}, refused(err)
	case cred.Authenticator.CloneWarning:
		return Key{}, refused(errors.New("its counter went back: there may be a copy of it"))
	}
	return keep(cred)
}

func refused(err error) error {
	return &fault.Error{Kind: fault.Denied, Msg: ErrRefused.Msg, Err: err}
}

func pack(options any, data *webauthn.SessionData) ([]byte, State, error) {
	o, err := json.Marshal(options)
	if err != nil {
		return nil, nil, err
	}
	s, err := json.Marshal(data)
	return o, s, err
}

func (s State) open() (data webauthn.SessionData, err error) {
	if err := json.Unmarshal(s, &data); err != nil {
		return data, fmt.Errorf("passkey: state: %w", err)
	}
	return data, nil
}

func keep(c *webauthn.Credential) (Key, error) {
	b, err := json.Marshal(c)
	return Key{ID: c.ID, Record: b}, err
}

func (u User) credentials() ([]webauthn.Credential, error) {
	out := make([]webauthn.Credential, len(u.Keys))
	for i, k := range u.Keys {
		if err := json.Unmarshal(k.Record, &out[i]); err != nil {
			return nil, fmt.Errorf("passkey %x: %w", k.ID, err)
		}
	}
	return out, nil
}

// account is a user as the library wants him.
type account struct {
	u    User
	have []webauthn.Credential
}

func (a account) WebAuthnID() []byte                         { return a.u.Handle }
func (a account) WebAuthnName() string                       { return a.u.Email }
func (a account) WebAuthnCredentials() []webauthn.Credential { return a.have }

func (a account) WebAuthnDisplayName() string {
	if a.u.Name == "" {
		return a.u.Email
	}
	return a.u.Name
}
