package gate

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/warrenedge/warren/shared/policy"
)

const (
	// grantLife is how long a grant is good: no longer than the keys that it is signed with are known.
	grantLife = 24 * time.Hour
	// stateLife is how long somebody may take to sign in.
	stateLife = time.Hour
	// maxState bounds a path that is kept while somebody signs in. A longer one is forgotten: he comes to the front page.
	maxState = 2 << 10
)

// keys sign grants and seal what browsers carry through signing in. They are derived from what the nodes of a pool share.
type keys struct {
	macs  [][]byte // the first signs, all verify
	aeads []cipher.AEAD
}

func randomKey() (k [32]byte) {
	_, _ = rand.Read(k[:]) // it never fails
	return k
}

func newKeys(shared [][32]byte) *keys {
	k := new(keys)
	for _, s := range shared {
		k.macs = append(k.macs, derive(s, "warren gate grants"))
		block, err := aes.NewCipher(derive(s, "warren gate states"))
		if err != nil {
			panic(err) // only for a length that it does not have
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			panic(err)
		}
		k.aeads = append(k.aeads, aead)
	}
	return k
}

func derive(key [32]byte, use string) []byte {
	out, err := hkdf.Key(sha256.New, key[:], nil, use, 32)
	if err != nil {
		panic(err) // only for lengths that nobody asks for here
	}
	return out
}

// grant says that somebody has shown a credential of a policy on a host.
type grant struct {
	policy string // id
	proof  policy.Proof
	until  time.Time
}

var b64 = base64.RawURLEncoding.Strict()

func (k *keys) sign(g grant, host string) string {
	body := strings.Join([]string{host, g.policy, g.proof.ID, g.proof.Version, strconv.FormatInt(g.until.Unix(), 10)}, "\n")
	return b64.EncodeToString([]byte(body)) + "." + b64.EncodeToString(mac(k.macs[0], body))
}

// open reads a grant, if it is good at a time and on this host.
func (k *keys) open(s, host string, now time.Time) (grant, bool) {
	head, tail, ok := strings.Cut(s, ".")
	if !ok || len(s) > 2<<10 {
		return grant{}, false
	}
	body, err1 := b64.DecodeString(head)
	sum, err2 := b64.DecodeString(tail)
	if err1 != nil || err2 != nil {
		return grant{}, false
	}
	good := false
	for _, key := range k.macs {
		good = good || hmac.Equal(sum, mac(key, string(body)))
	}
	f := strings.Split(string(body), "\n")
	if !good || len(f) != 5 || f[0] != host {
		return grant{}, false
	}
	until, err := strconv.ParseInt(f[4], 10, 64)
	if err != nil || !now.Before(time.Unix(until, 0)) {
		return grant{}, false
	}
	return grant{f[1], policy.Proof{ID: f[2], Version: f[3]}, time.Unix(until, 0)}, true
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(text))
	return h.Sum(nil)
}

// seal hides where somebody wants to go, from everybody but the nodes of the pool, for one host and browser.
func (k *keys) seal(to, host, binding string, now time.Time) string {
	if len(to) > maxState {
		to = "/"
	}
	text := strconv.FormatInt(now.Add(stateLife).Unix(), 10) + "\n" + to
	return b64.EncodeToString(k.aeads[0].Seal(nil, nil, []byte(text), []byte(host+"\n"+binding)))
}

// unseal gives it back.
func (k *keys) unseal(s, host, binding string, now time.Time) (to string, ok bool) {
	sealed, err := b64.DecodeString(s)
	if err != nil || len(s) > 2*maxState {
		return "", false
	}
	for _, a := range k.aeads {
		text, err := a.Open(nil, nil, sealed, []byte(host+"\n"+binding))
		if err != nil {
			continue
		}
		head, to, _ := strings.Cut(string(text), "\n")
		until, err := strconv.ParseInt(head, 10, 64)
		if err != nil || !now.Before(time.Unix(until, 0)) || !local(to) {
			return "", false
		}
		return to, true
	}
	return "", false
}

// local reports whether a path leads nowhere but to this host, for all browsers.
func local(to string) bool {
	return strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") && !strings.HasPrefix(to, "/\\") && !strings.ContainsAny(to, "\r\n\t")
}
