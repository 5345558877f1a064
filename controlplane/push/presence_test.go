package push

import (
	"fmt"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/shared/resource"
)

func ill(i int, scope string) news {
	return news{fmt.Sprintf("targethealth/%06d", i), scope, &nodev1.TargetHealth{TargetId: fmt.Sprint(i), State: nodev1.TargetState_TARGET_STATE_UNHEALTHY}}
}

func all(p *presence, h *heard, scopes ...string) (upserts, removed int) {
	for p.waiting(h, scopes) {
		h.greeted = true
		var u []*discovery.Resource
		u, r := p.after(h, scopes)
		upserts, removed = upserts+len(u), removed+len(r)
	}
	return upserts, removed
}

// Targets that come and go for ever leave a bounded trail, and who hears of it knows what is there.
func TestPresenceOfWhatIsGoneIsBounded(t *testing.T) {
	p := newPresence(resource.TargetHealth)
	follower := &heard{seq: map[string]uint64{}}
	up, down := 0, 0
	for i := range 20_000 {
		p.tell([]news{ill(i, "pool/a")})
		if i >= 10 {
			p.tell([]news{{name: ill(i-10, "").name}})
		}
		if i%100 == 99 {
			u, d := all(p, follower, "pool/a")
			up, down = up+u, down+d
		}
	}
	if n := len(p.trails["pool/a"].told); n > 2*(10+maxGone)+1 {
		t.Errorf("%d words are kept of 10 things", n)
	}
	if len(p.words) != 10 || p.trails["pool/a"].live != 10 {
		t.Errorf("%d things, %d counted", len(p.words), p.trails["pool/a"].live)
	}
	if up-down > 10 || up < 10 {
		t.Errorf("a follower heard of %d things, and of %d that are gone", up, down)
	}
	if up, down := all(p, &heard{seq: map[string]uint64{}}, "pool/a"); up != 10 || down != 0 {
		t.Errorf("a newcomer hears of %d things, and of %d that are gone", up, down)
	}
}

// Scopes do not mix, and a large one comes in pages.
func TestPresenceByScope(t *testing.T) {
	p := newPresence(resource.TargetHealth)
	var list []news
	for i := range 10_000 {
		list = append(list, ill(i, fmt.Sprintf("pool/%d", i%4)))
	}
	if got := len(p.tell(list)); got != 4 {
		t.Errorf("%d scopes", got)
	}
	p.begin()
	h := &heard{seq: map[string]uint64{}}
	scopes := []string{"cluster", "pool/1", "pool/2"}
	if first, _ := p.after(h, scopes); len(first) == 0 || len(first) >= 5_000 {
		t.Errorf("%d in the first page", len(first))
	}
	if up, _ := all(p, &heard{seq: map[string]uint64{}}, scopes...); up != 5_000 {
		t.Errorf("%d in all pages", up)
	}
	if got := p.tell(list); len(got) != 0 {
		t.Errorf("the same again concerns %v", got)
	}
	if got := p.tell([]news{ill(1, "pool/9")}); !got["pool/1"] || !got["pool/9"] || len(got) != 2 {
		t.Errorf("a move concerns %v", got)
	}
}
