package fabric

import "sync"

// Bounds of hedges: attempts that begin while those before are still waited for. A busy machine keeps every dial waiting;
// if each then asked all other ways as well, it would have several times the work, and be later still. A site's have a bound
// of their own: one with a target that never answers leaves others theirs.
const (
	hedgesShare = 5  // one for so many dials that are in progress, of a site and of all
	hedgesSite  = 8  // at once, however few those are, of a site
	hedgesAll   = 32 // of all
	hedgeAgain  = stagger / 10
)

// hedges counts dials and their hedges in progress. Safe for concurrent use.
type hedges struct {
	mu  sync.Mutex
	all inProgress             // guarded by mu
	by  map[string]*inProgress // guarded by mu; by site
}

type inProgress struct{ dials, hedges int }

// room reports whether there may be another hedge, of so many at once however few dials there are.
func (p inProgress) room(least int) bool { return p.hedges < max(least, p.dials/hedgesShare) }

// dial counts one more dial; the result ends it.
func (h *hedges) dial(site string) (end func()) {
	h.add(site, 1, 0)
	return func() { h.add(site, -1, 0) }
}

// begin counts one more hedge, if there is room for it or it is known to be worth it; end must follow then.
func (h *hedges) begin(site string, worth bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !worth && !(h.all.room(hedgesAll) && h.by[site].room(hedgesSite)) {
		return false
	}
	h.addLocked(site, 0, 1)
	return true
}

func (h *hedges) end(site string) { h.add(site, 0, -1) }

func (h *hedges) add(site string, dials, hedges int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.addLocked(site, dials, hedges)
}

func (h *hedges) addLocked(site string, dials, hedges int) {
	if h.by == nil {
		h.by = map[string]*inProgress{}
	}
	if h.by[site] == nil {
		h.by[site] = &inProgress{}
	}
	for _, p := range []*inProgress{&h.all, h.by[site]} {
		p.dials += dials
		p.hedges += hedges
	}
	if *h.by[site] == (inProgress{}) {
		delete(h.by, site)
	}
}
