package console

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
)

// mostBoxes is how many boxes stand in one column of the picture: those that are worst come first.
const mostBoxes = 40

// Measures of the picture.
const (
	boxWidth, boxHeight = 180, 44 // four columns fit beside the navigation at 1280 pixels
	columnGap, rowGap   = 78, 14
	pictureTop          = 40
)

// Box is something in the picture.
type Box struct {
	ID    string
	Text  string
	Small string
	To    string // its page, "" for none
	Tone  string
	X, Y  int
}

// Line leads from a box to one in the next column.
type Line struct {
	Tone           string
	Width          string // a class: how much goes there
	X1, Y1, X2, Y2 int
	Title          string
}

// Picture is the way of requests through an organization: internet, nodes, sites, targets.
type Picture struct {
	Columns []string
	Boxes   []Box
	Lines   []Line
	Omitted int
	W, H    int
}

type edge struct {
	from, to, tone, title string
	rate                  float64 // requests a second
}

// draw puts columns of boxes beside each other and draws the lines. It is pure.
func draw(titles []string, columns [][]Box, edges []edge) Picture {
	p := Picture{Columns: titles}
	at := map[string]Box{}
	most := 1
	for _, col := range columns {
		most = max(most, min(len(col), mostBoxes))
	}
	p.H = pictureTop + most*(boxHeight+rowGap)
	for i, col := range columns {
		slices.SortStableFunc(col, func(a, b Box) int {
			return cmp.Or(cmp.Compare(rank(a.Tone), rank(b.Tone)), cmp.Compare(a.Text, b.Text))
		})
		if len(col) > mostBoxes {
			p.Omitted += len(col) - mostBoxes
			col = col[:mostBoxes]
		}
		// A short column stands in the middle of a long one.
		y := pictureTop + (most-len(col))*(boxHeight+rowGap)/2
		for _, b := range col {
			b.X, b.Y = columnX(i), y
			y += boxHeight + rowGap
			at[b.ID] = b
			p.Boxes = append(p.Boxes, b)
		}
	}
	p.W = columnX(len(columns)-1) + boxWidth
	for _, e := range edges {
		a, okA := at[e.from]
		b, okB := at[e.to]
		if okA && okB {
			p.Lines = append(p.Lines, Line{e.tone, width(e.rate), a.X + boxWidth, a.Y + boxHeight/2, b.X, b.Y + boxHeight/2, e.says()})
		}
	}
	slices.SortStableFunc(p.Lines, func(a, b Line) int { return cmp.Compare(rank(b.Tone), rank(a.Tone)) }) // what is ill is drawn last, above
	return p
}

// width is how wide a line is: each class is ten times as much as the one before.
func width(rate float64) string {
	if rate <= 0 {
		return "w0"
	}
	return "w" + itoa(1+max(0, min(4, int(math.Ceil(math.Log10(rate))))))
}

// says is what the title of a line is.
func (e edge) says() string {
	if e.rate <= 0 {
		return e.title
	}
	return strings.TrimPrefix(e.title+", ", ", ") + perSecond(e.rate) + " requests a second"
}

// toneWord is a tone for who does not see colours.
func toneWord(tone string) string {
	switch tone {
	case good:
		return "well"
	case warn:
		return "look"
	case bad:
		return "fails"
	}
	return "unknown"
}

func columnX(i int) int { return i * (boxWidth + columnGap) }

func rank(tone string) int {
	switch tone {
	case bad:
		return 0
	case warn:
		return 1
	case idle:
		return 2
	}
	return 3
}

// middle is where the curve of a line turns.
func (l Line) middle() int { return (l.X1 + l.X2) / 2 }

// rates are requests a second of the last minutes, by the ids of sites, services and nodes.
type rates map[string]float64

// rates finds out how much goes where.
func (q *Request) rates() (rates, error) {
	out := rates{}
	by := []model.TrafficBy{model.BySite, model.ByService}
	if q.Can(access.NodesRead) {
		by = append(by, model.ByNode)
	}
	for _, by := range by {
		f, err := q.flow(by)
		if err != nil {
			return nil, err
		}
		for id, v := range f {
			out[id] = v.Rate
		}
	}
	return out, nil
}

// seenTarget is a target with how it is.
type seenTarget struct {
	*model.Target
	state Badge
}

// topology collects what is in the picture of an organization.
func (q *Request) topology(rate rates) Picture {
	columns := [][]Box{{{ID: "internet", Text: "Internet", Small: "visitors", Tone: idle}}, nil, nil, nil}
	var edges []edge
	pools := map[model.PoolID]bool{}
	sites := q.sitesOf()
	for _, s := range sites {
		pools[s.Pool] = true
	}
	for n := range q.m.Nodes() {
		if !pools[n.Pool] || !n.Enrolled() {
			continue
		}
		v := q.node(n)
		b := Box{ID: n.ID.String(), Text: n.Name, Small: v.State.Text, Tone: v.State.Tone, To: q.toNode(n)}
		if b.To == "" {
			b.Text = "node"
		}
		columns[1] = append(columns[1], b)
		edges = append(edges, edge{"internet", b.ID, v.State.Tone, v.State.Text, rate[b.ID]})
	}
	// Of ten thousand targets those that are worst are drawn: nothing is made of the others.
	worst := firsts[seenTarget]{most: mostBoxes, order: func(a, b seenTarget) int {
		return cmp.Or(cmp.Compare(rank(a.state.Tone), rank(b.state.Tone)), cmp.Compare(a.Name, b.Name))
	}}
	targets := 0
	for _, s := range sites {
		st := q.site(s)
		columns[2] = append(columns[2], Box{
			ID: s.ID.String(), Text: s.Name, Small: itoa(st.Up) + " of " + plural(len(st.Tunnels), "tunnel", "tunnels"), Tone: st.State.Tone, To: q.To("sites", s.Name),
		})
		for _, e := range siteEdges(st) {
			e.rate = rate[e.to]
			edges = append(edges, e)
		}
		if !q.Can(access.TargetsRead) {
			continue
		}
		for t := range q.m.TargetsAt(s.ID) {
			targets++
			worst.add(seenTarget{t, q.target(t)})
		}
	}
	for _, t := range worst.items {
		box := Box{ID: t.ID.String(), Text: t.Name, Small: t.Address + ":" + itoa(int(t.Port)), Tone: t.state.Tone}
		if v := q.m.Service(t.Service); v != nil {
			box.Text, box.To = v.Name, q.To("services", v.Name)
		}
		columns[3] = append(columns[3], box)
		edges = append(edges, edge{t.Site.String(), box.ID, t.state.Tone, t.state.Text, rate[t.Service.String()]})
	}
	p := draw([]string{"", "Nodes", "Sites", "Targets"}, columns, edges)
	p.Omitted += targets - len(worst.items)
	return p
}

// siteEdges are the lines from nodes into a site: of each node the best of its tunnels.
func siteEdges(st SiteState) []edge {
	var out []edge
	if st.Kind == model.LocalSite {
		for _, m := range st.Connectors {
			out = append(out, edge{m.ID, st.ID.String(), m.State.Tone, m.State.Text, 0})
		}
		return out
	}
	best := map[string]edge{}
	for _, t := range st.Tunnels {
		peer := t.Peer
		if t.From != "" {
			peer = t.From
		}
		e := edge{peer, st.ID.String(), bad, "down", 0}
		if t.Up {
			e.tone, e.title = good, ms(t.RoundTrip)
		}
		if old, ok := best[peer]; !ok || rank(old.tone) < rank(e.tone) {
			best[peer] = e
		}
	}
	for _, e := range best {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b edge) int { return cmp.Compare(a.from, b.from) })
	return out
}

func showTopology(q *Request) (*Page, error) {
	rate, err := q.rates()
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Topology", Live: topologyView(q, q.topology(rate))}, nil
}
