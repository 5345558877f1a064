package console

import (
	"fmt"
	"strings"
	"testing"
)

// A domain is added, delegated by what its page says, checked, and deleted.
func TestDomain(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	got := b.post("/console/orgs/default/add-domain", "name", "Apps.Example.COM", "pool", "default")
	if got.status != 200 || got.path != "/console/orgs/default/domains/apps.example.com" || !strings.Contains(got.body, "NS  ns-edge-1.apps.example.com") {
		t.Fatalf("%d %s: %s", got.status, got.path, got.body)
	}
	got = b.post("/console/orgs/default/domains/apps.example.com/check")
	if got.status != 200 || !strings.Contains(got.body, "A certificate authority would refuse.") || !strings.Contains(got.body, "at=%2Fconsole%2Forgs%2Fdefault%2Fdomains%2Fapps.example.com\"") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	got = b.post("/console/orgs/default/domains/apps.example.com/edit", "pool", "default", "caa_account", "on")
	if got.status != 200 || got.path != "/console/orgs/default/domains/apps.example.com" || !strings.Contains(got.body, "apps.example.com is changed.") {
		t.Errorf("%d %s: %s", got.status, got.path, got.body)
	}
	if got = b.get("/console/orgs/default/domains/apps.example.com/edit"); !strings.Contains(got.body, `name="caa_account" value="on" checked`) {
		t.Errorf("the form: %s", got.body)
	}
	got = b.post("/console/orgs/default/domains/example.org/delete")
	if got.status != 409 || !strings.Contains(got.body, "wiki") && !strings.Contains(got.body, "mail") {
		t.Errorf("a domain that services stand in: %d %s", got.status, got.body)
	}
	if got = b.post("/console/orgs/default/domains/apps.example.com/delete"); got.status != 200 || !strings.Contains(got.body, "is deleted") {
		t.Errorf("%d: %s", got.status, got.body)
	}
}

// What an authority refused is there in its own words, with when it is asked again, and it can be asked at once.
func TestCertificate(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	if got := b.get("/console/orgs/default/certificates"); !strings.Contains(got.body, "acme:error:rateLimited") || !strings.Contains(got.body, "failing") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	at := "/console/orgs/default/certificates/" + r.made["managed"]
	if got := b.get(at); !strings.Contains(got.body, "What the authority said last") || !strings.Contains(got.body, "planned with le") || !strings.Contains(got.body, "Renew now") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := b.post(at + "/renew"); got.status != 200 || got.path != at || !strings.Contains(got.body, "It is due now") {
		t.Errorf("%d %s: %s", got.status, got.path, got.body)
	}
}

func TestDraw(t *testing.T) {
	var many []Box
	for i := range mostBoxes + 2 {
		many = append(many, Box{ID: fmt.Sprint("t", i), Text: fmt.Sprintf("t%03d", i), Tone: good})
	}
	many[mostBoxes+1].Tone = bad // the last by name
	p := draw([]string{"a", "b"}, [][]Box{{{ID: "n", Text: "n", Tone: good}}, many}, []edge{{"n", "t41", bad, "", 0}, {"n", "t40", good, "", 0}, {"n", "t0", good, "12 ms", 250}, {"gone", "t0", bad, "", 0}})
	if p.Omitted != 2 || len(p.Boxes) != mostBoxes+1 {
		t.Errorf("%d boxes, %d left out", len(p.Boxes), p.Omitted)
	}
	if b := p.Boxes[1]; b.ID != "t41" || b.Y != pictureTop || b.X != boxWidth+columnGap {
		t.Errorf("what is worst does not come first: %+v", b)
	}
	if len(p.Lines) != 2 || p.Lines[1].Tone != bad || p.Lines[1].Y2 != pictureTop+boxHeight/2 {
		t.Errorf("lines %+v", p.Lines)
	}
	if l := p.Lines[0]; l.Width != "w4" || l.Title != "12 ms, 250 requests a second" || p.Lines[1].Width != "w0" {
		t.Errorf("widths %+v", p.Lines)
	}
	if mid := p.Boxes[0].Y + boxHeight/2; mid < p.H/2-20 || mid > p.H/2+60 {
		t.Errorf("a short column is at %d of %d", mid, p.H)
	}
}
