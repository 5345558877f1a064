package signin

import (
	"context"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/signin/typedcode"
	"github.com/warrenedge/warren/controlplane/store"
)

// DeviceInterval is how long a device waits before it asks again.
const DeviceInterval = 5 * time.Second

const (
	deviceLife = 10 * time.Minute
	maxDevices = 1000 // that wait; the code that a user types has 34 bits
)

// What a device is told that asks (RFC 8628 §3.5). They are no faults of it.
var (
	ErrPending = fault.New(fault.Conflict, "authorization_pending")
	ErrSlow    = fault.New(fault.Conflict, "slow_down")
	ErrDenied  = fault.New(fault.Denied, "access_denied")
	ErrExpired = fault.New(fault.NotFound, "expired_token")
)

// Device is a login that a command line has begun.
type Device struct {
	Code     string // what it keeps, and asks with
	UserCode string // what the user types: ABCD-EFGH
	Page     string // where he does
	Whole    string // the page with the code in it
	Life     time.Duration
	Interval time.Duration
}

// BeginDevice begins a login of a command line that calls itself client.
func (s *Service) BeginDevice(ctx context.Context, c Client, client string) (Device, error) {
	if err := s.take(ctx, limits.NewKey(limits.Rate{Every: 10 * time.Second, Burst: 10}, "device", limits.Client(c.Address))); err != nil {
		return Device{}, err
	}
	if client != "" {
		if err := model.CheckTitle("client", client); err != nil {
			return Device{}, err
		}
	}
	d := Device{UserCode: typedcode.New(), Page: s.page(PathDevice, ""), Life: deviceLife, Interval: DeviceInterval}
	var hash []byte
	d.Code, hash = newToken()
	d.Whole = s.page(PathDevice, "code="+d.UserCode[:4]+"-"+d.UserCode[4:])
	v := &model.DeviceLogin{ID: model.DeviceLoginID{}.New(), Hash: hash, UserCode: d.UserCode, Client: client, Address: c.Address, Expires: s.Now().Add(deviceLife)}
	d.UserCode = d.UserCode[:4] + "-" + d.UserCode[4:]
	_, err := s.Store.Tx(ctx, "sign-in", func(tx *store.Tx) error {
		n, err := tx.CountDeviceLogins(ctx, s.Now())
		if err != nil {
			return err
		}
		if n >= maxDevices {
			return fault.New(fault.Unavailable, "too many devices wait for an answer, try again")
		}
		return tx.CreateDeviceLogin(ctx, v)
	})
	return d, err
}

func (s *Service) page(path, query string) string {
	u := *s.URL
	u.Path, u.RawQuery = path, query
	return u.String()
}

// ErrDevice is all that somebody is told whose code is not one.
var ErrDevice = fault.New(fault.NotFound, "no device waits with this code: it may be over, or mistyped")

// FindDevice returns the login that a user has typed the code of, for him to look at.
func (s *Service) FindDevice(ctx context.Context, w *Who, code string) (v *model.DeviceLogin, err error) {
	// Codes are short: who is signed in must not try them all (RFC 8628 §5.1).
	if err := s.take(ctx, limits.NewKey(limits.Rate{Every: 10 * time.Second, Burst: 10}, "device-code", w.User.ID.String())); err != nil {
		return nil, err
	}
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		v, err = tx.GetDeviceLogin(ctx, typedcode.Canonical(code), s.Now())
		return err
	})
	return v, over(err, ErrDevice)
}

// AnswerDevice lets a command line act for a user, or not.
func (s *Service) AnswerDevice(ctx context.Context, w *Who, c Client, code string, yes bool) error {
	v, err := s.FindDevice(ctx, w, code)
	if err != nil {
		return err
	}
	action := "device.deny"
	if v.Denied = !yes; yes {
		action, v.User, v.AMR, v.SecondFactor = "device.approve", w.User.ID, w.Session.AMR, w.Session.SecondFactor
	}
	return over(s.doing(ctx, w, c, action, func(tx *store.Tx) error { return tx.AnswerDeviceLogin(ctx, v, s.Now()) }), ErrDevice)
}

// Device returns the session of a command line whose user has approved it, once; else one of the errors above.
func (s *Service) Device(ctx context.Context, c Client, code string) (out Outcome, err error) {
	var v *model.DeviceLogin
	_, err = s.Store.Tx(ctx, "sign-in", func(tx *store.Tx) (err error) {
		v, err = tx.PollDeviceLogin(ctx, tokenHash(code), s.Now())
		return err
	})
	switch {
	case fault.Of(err) == fault.NotFound && err != nil:
		return out, ErrExpired
	case err != nil:
		return out, err
	case !s.Now().Before(v.Expires):
		return out, ErrExpired
	case v.Denied:
		return out, ErrDenied
	case !v.Polled.IsZero() && s.Now().Sub(v.Polled) < DeviceInterval-time.Second:
		return out, ErrSlow
	case v.User.IsZero():
		return out, ErrPending
	}
	c.UserAgent = strings.TrimSpace("warren " + v.Client)
	out, err = s.session(ctx, c, v.User, v.AMR, v.SecondFactor, func(tx *store.Tx) error {
		return over(tx.DeleteDeviceLogin(ctx, v.ID), ErrExpired)
	})
	s.attempt(ctx, "device", v.User, c, err)
	return out, err
}
