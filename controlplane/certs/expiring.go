package certs

import "time"

// Warnings are at how many days before its end a certificate of 90 days is warned of. One that lives shorter is warned
// of at the same shares of its life.
var Warnings = [...]int{30, 14, 7, 1}

const (
	day       = 24 * time.Hour
	usualLife = 90 * day
)

// Warning returns the tightest of the Warnings that a certificate has passed; 0: none, or it has ended.
func Warning(l Lifetime, now time.Time) int {
	found := 0
	left := l.NotAfter.Sub(now)
	for _, days := range Warnings {
		if left > 0 && left <= l.share(days) {
			found = days
		}
	}
	return found
}

// share is how long before its end a certificate is warned of.
func (l Lifetime) share(days int) time.Duration {
	d := time.Duration(days) * day
	if l.length() >= usualLife {
		return d
	}
	return time.Duration(float64(d) * float64(l.length()) / float64(usualLife))
}

// Upkeep is how a certificate is kept: what a warning takes into account.
type Upkeep struct {
	RenewAt time.Time // zero: nobody renews it
	Failing bool      // the last attempt came to nothing
}

// Due returns the warning that is to be given: the first one is left out while renewal is on its way, as certificates
// that live for 90 days are renewed just then.
func (u Upkeep) Due(l Lifetime, now time.Time) int {
	found := Warning(l, now)
	if found != Warnings[0] || u.RenewAt.IsZero() || u.Failing {
		return found
	}
	if grace := l.length() / 90; now.Before(u.RenewAt.Add(grace)) {
		return 0
	}
	return found
}
