// Package budget keeps an account within what its certificate authority lets it do, and a part of that for
// renewals.
package budget

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/warrenedge/warren/controlplane/model"
)

// Limit is a token bucket: it holds Burst and is filled by as much in Window.
type Limit struct {
	Burst  int
	Window time.Duration
}

// reserve is the share of a bucket that only renewals may take: new customers can't starve those who are there.
const reserve = 1.0 / 3

// LongestWindow is after which every bucket that nothing was taken from is full.
const LongestWindow = 7 * 24 * time.Hour

// Limits returns what an issuer allows. What it does not say is Let's Encrypt's
// (letsencrypt.org/docs/rate-limits).
func Limits(l model.IssuerLimits) map[model.BudgetKind]Limit {
	or := func(n, standard int) int {
		if n > 0 {
			return n
		}
		return standard
	}
	return map[model.BudgetKind]Limit{
		model.BudgetNewOrders:         {or(l.NewOrders, 300), 3 * time.Hour},
		model.BudgetDomain:            {or(l.PerDomain, 50), LongestWindow},
		model.BudgetSet:               {or(l.PerSet, 5), LongestWindow},
		model.BudgetFailedValidations: {or(l.FailedValidations, 5), time.Hour},
	}
}

// Full is the bucket that nothing was taken from.
func (l Limit) Full(k model.BucketKey, now time.Time) model.Bucket {
	return model.Bucket{BucketKey: k, Tokens: float64(l.Burst), At: now}
}

// At is the bucket at a later moment. A clock that went back takes nothing away.
func (l Limit) At(b model.Bucket, now time.Time) model.Bucket {
	if d := now.Sub(b.At); d > 0 {
		b.Tokens = min(float64(l.Burst), b.Tokens+float64(l.Burst)*d.Seconds()/l.Window.Seconds())
		b.At = now
	}
	return b
}

// floor is what must be left.
func (l Limit) floor(renewal bool) float64 {
	if renewal {
		return 0
	}
	return math.Floor(float64(l.Burst) * reserve)
}

// Left is how many tokens may be taken now.
func (l Limit) Left(b model.Bucket, renewal bool, now time.Time) int {
	return max(0, int(math.Floor(l.At(b, now).Tokens-l.floor(renewal)+epsilon)))
}

// epsilon forgives what adding fractions loses.
const epsilon = 1e-9

// Take takes a token. If there is none it returns when there will be.
func (l Limit) Take(b model.Bucket, renewal bool, now time.Time) (model.Bucket, time.Time, bool) {
	b = l.At(b, now)
	if missing := l.floor(renewal) + 1 - b.Tokens; missing > epsilon {
		wait := time.Duration(missing * l.Window.Seconds() / float64(l.Burst) * float64(time.Second))
		return b, now.Add(wait.Truncate(time.Second) + time.Second), false
	}
	b.Tokens--
	return b, time.Time{}, true
}

// ForOrder are the buckets that have to have a token before an order of these names is sent: all but those of
// validations, which are taken only when one fails.
func ForOrder() []model.BucketKey {
	return []model.BucketKey{{Kind: model.BudgetNewOrders}}
}

// ForCertificate are the buckets that a certificate of these names takes a token from.
func ForCertificate(names []string) []model.BucketKey {
	keys := []model.BucketKey{{Kind: model.BudgetSet, Key: strings.Join(names, " ")}}
	domains := map[string]bool{}
	for _, n := range names {
		domains[Registered(n)] = true
	}
	for _, d := range slices.Sorted(maps.Keys(domains)) {
		keys = append(keys, model.BucketKey{Kind: model.BudgetDomain, Key: d})
	}
	return keys
}

// ForValidations are the buckets that failed validations of these names take from.
func ForValidations(names []string) []model.BucketKey {
	var keys []model.BucketKey
	for _, n := range names {
		k := model.BucketKey{Kind: model.BudgetFailedValidations, Key: strings.TrimPrefix(n, "*.")}
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// Registered is the registered domain of a name or pattern: one label below what registries sell. A name that is
// itself sold below, or is no public one, counts for itself.
func Registered(name string) string {
	name = strings.TrimPrefix(name, "*.")
	if d, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return d
	}
	return name
}

// More is when one more token will have come; zero: the bucket is full.
func (l Limit) More(b model.Bucket, now time.Time) time.Time {
	b = l.At(b, now)
	whole := math.Floor(b.Tokens + epsilon)
	if whole >= float64(l.Burst) {
		return time.Time{}
	}
	wait := time.Duration((whole + 1 - b.Tokens) * l.Window.Seconds() / float64(l.Burst) * float64(time.Second))
	return now.Add(wait.Truncate(time.Second) + time.Second)
}

// Reserved is how many tokens of a full bucket only renewals may take.
func (l Limit) Reserved() int { return int(l.floor(false)) }
