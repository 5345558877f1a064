package apply

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
)

var challengeEnd = time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC)

func challengeMsg(id string) *nodev1.Challenge {
	return &nodev1.Challenge{Id: id, Name: "app.example.org", ExpiresAt: timestamppb.New(challengeEnd)}
}

func dnsChallenge(id, text string) *nodev1.Challenge {
	m := challengeMsg(id)
	m.Answer = &nodev1.Challenge_Dns{Dns: &nodev1.DNSChallenge{Text: text}}
	return m
}

func httpChallenge(id, token, text string) *nodev1.Challenge {
	m := challengeMsg(id)
	m.Answer = &nodev1.Challenge_Http{Http: &nodev1.HTTPChallenge{Token: token, KeyAuthorization: text}}
	return m
}

func tlsChallenge(id string, digest []byte) *nodev1.Challenge {
	m := challengeMsg(id)
	m.Answer = &nodev1.Challenge_TlsAlpn{TlsAlpn: &nodev1.TLSALPNChallenge{Digest: digest}}
	return m
}

// Each challenge reaches the subsystem that is asked, and is there again after a restart without a control plane.
func TestChallengesReachWhoIsAsked(t *testing.T) {
	dir := t.TempDir()
	n, m := newNode(t, dir)
	check := func(when string, m *machine, want int) {
		t.Helper()
		if len(m.dns.Challenges) != want || len(m.asked.Challenges) != 2*want {
			t.Fatalf("%s: dns %+v, asked %+v", when, m.dns.Challenges, m.asked.Challenges)
		}
		if want == 0 {
			return
		}
		if c := m.dns.Challenges[0]; c.ID != "challenge_1" || c.Name != "app.example.org" || c.Text != "text" || !c.Expires.Equal(challengeEnd) {
			t.Errorf("%s: %+v", when, c)
		}
		if http, tls := m.asked.Challenges[0], m.asked.Challenges[1]; http.Token != "tok" || http.KeyAuthorization != "tok.thumb" || tls.Digest[0] != 7 || !tls.Expires.Equal(challengeEnd) {
			t.Errorf("%s: %+v, %+v", when, http, tls)
		}
	}
	must(t, n, tx(5, res(t, "route/o/1", routeMsg("service_1", "pass.example.org", "")), res(t, "challenge/o/challenge_1", dnsChallenge("challenge_1", "text")),
		res(t, "challenge/o/challenge_2", httpChallenge("challenge_2", "tok", "tok.thumb")), res(t, "challenge/o/challenge_3", tlsChallenge("challenge_3", key32))))
	check("applied", m, 1)
	if is, ok := m.asked.Hostnames["pass.example.org"]; !ok || is {
		t.Errorf("hostnames %v", m.asked.Hostnames)
	}
	again, m2 := newNode(t, dir)
	if _, err := again.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("restarted", m2, 1)
	gone := tx(6)
	gone.Removed["type.googleapis.com/warren.node.v1.Challenge"] = []string{"challenge/o/challenge_1", "challenge/o/challenge_2", "challenge/o/challenge_3"}
	must(t, n, gone)
	check("removed", m, 0)
}

func TestBadChallengesAreRejectedByName(t *testing.T) {
	for field, bad := range map[string]*nodev1.Challenge{
		"id":                     dnsChallenge("", "text"),
		"name":                   edit(dnsChallenge("c", "text"), func(m *nodev1.Challenge) { m.Name = "*.example.org" }).(*nodev1.Challenge),
		"expires_at":             edit(dnsChallenge("c", "text"), func(m *nodev1.Challenge) { m.ExpiresAt = nil }).(*nodev1.Challenge),
		"answer":                 challengeMsg("c"),
		"dns.text":               dnsChallenge("c", "canary with blanks"),
		"http.token":             httpChallenge("c", "../x", "../x.thumb"),
		"http.key_authorization": httpChallenge("c", "tok", "canary.thumb"),
		"tls_alpn.digest":        tlsChallenge("c", key32[:31]),
	} {
		n, m := newNode(t, t.TempDir())
		rejected, err := n.Transaction(t.Context(), tx(5, res(t, "challenge/o/bad", bad), res(t, "challenge/o/good", dnsChallenge("good", "text"))))
		if err != nil || len(rejected) != 1 || rejected[0].GetName() != "challenge/o/bad" || !strings.HasPrefix(rejected[0].GetReason(), field+":") {
			t.Errorf("%s: %v, %v", field, rejected, err)
		}
		if strings.Contains(rejected[0].GetReason(), "canary") {
			t.Errorf("%s: the reason tells the value", field)
		}
		if len(m.dns.Challenges) != 1 {
			t.Errorf("%s: the good one is not applied", field)
		}
	}
}
