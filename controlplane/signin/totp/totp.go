// Package totp checks the codes of authenticator apps (RFC 6238).
//
// A code is good once: who checks one keeps the step that it was for, and older steps are refused (§5.2). Backup
// codes are 80 random bits each, kept as hashes and good once.
package totp

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

const (
	period     = 30 // seconds
	window     = 1  // steps that a clock may be off, before and after
	secretSize = 20
	digits     = otp.DigitsSix

	// BackupCodes is how many a user has.
	BackupCodes = 10
	backupSize  = 10 // bytes
)

var (
	secretText = base32.StdEncoding.WithPadding(base32.NoPadding)
	backupText = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding) // neither l, 1, o nor 0
)

// NewSecret makes the secret of an app.
func NewSecret() []byte {
	b := make([]byte, secretSize)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return b
}

// Text is a secret as it is typed into an app that has no camera.
func Text(secret []byte) string { return secretText.EncodeToString(secret) }

// URI is what an app reads from a QR code. issuer and account are what it shows.
func URI(secret []byte, issuer, account string) string {
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + account}
	u.RawQuery = "secret=" + Text(secret) + "&issuer=" + url.QueryEscape(issuer)
	return u.String()
}

// Verify says whether a code is good now, and for which step: the caller keeps it, and gives it as last the next
// time. A code of a step that is not after last was used already, or is older than one that was.
func Verify(secret []byte, code string, now time.Time, last int64) (step int64, ok bool) {
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	this := now.Unix() / period
	for s := this - window; s <= this+window; s++ {
		want, err := hotp.GenerateCodeCustom(Text(secret), uint64(s), hotp.ValidateOpts{Digits: digits, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, false
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && s > last {
			step, ok = s, true
		}
	}
	return step, ok
}

// NewBackupCodes makes the codes of a user, as they are shown once, with their hashes in the same order.
func NewBackupCodes(user string) (codes []string, hashes [][]byte) {
	for range BackupCodes {
		b := make([]byte, backupSize)
		_, _ = rand.Read(b) // never fails since Go 1.24
		t := backupText.EncodeToString(b)
		code := fmt.Sprintf("%s-%s-%s-%s", t[:4], t[4:8], t[8:12], t[12:])
		codes, hashes = append(codes, code), append(hashes, BackupHash(user, code))
	}
	return codes, hashes
}

// BackupHash is what is kept of a user's backup code. Case, blanks and dashes don't count.
func BackupHash(user, code string) []byte {
	code = strings.NewReplacer("-", "", " ", "").Replace(strings.ToLower(strings.TrimSpace(code)))
	sum := sha256.Sum256([]byte("backup code\x00" + user + "\x00" + code))
	return sum[:]
}

// IsCode reports whether a text looks like an app's code, and so is no backup code.
func IsCode(text string) bool {
	text = strings.ReplaceAll(strings.TrimSpace(text), " ", "")
	return len(text) == digits.Length() && strings.Trim(text, "0123456789") == ""
}
