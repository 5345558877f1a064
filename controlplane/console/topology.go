package console

import (
	"cmp"
	"slices"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
)

// mostBoxes is how many boxes stand in one column of the picture: those that are worst come first.
const mostBoxes = 40

// Measures of the picture.
const (
	boxWidth, boxHeight = 190, 44
	columnGap, rowGap   = 90, 14
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

type edge struct{ from, to, tone, title string }

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
			p.Lines = append(p.Lines, Line{e.tone, a.X + boxWidth, a.Y + boxHeight/2, b.X, b.Y + boxHeight/2, e.title})
		}
	}
	slices.SortStableFunc(p.Lines, func(a, b Line) int { return cmp.Compare(rank(b.Tone), rank(a.Tone)) }) // what is ill is drawn last, above
	return p
}

func columnX(i int) int { return i * (boxWidth + columnGap) }

func rank(tone string) int { return slices.Index([]string{bad, warn, idle, good}, tone) }

// middle is where the curve of a line turns.
func (l Line) middle() int { return (l.X1 + l.X2) / 2 }

// topology collects what is in the picture of an organization.
func (q *Request) topology() Picture {
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
		edges = append(edges, edge{"internet", b.ID, v.State.Tone, v.State.Text})
	}
	for _, s := range sites {
		st := q.site(s)
		columns[2] = append(columns[2], Box{
			ID: s.ID.String(), Text: s.Name, Small: itoa(st.Up) + " of " + plural(len(st.Tunnels), "tunnel", "tunnels"), Tone: st.State.Tone, To: q.To("sites", s.Name),
		})
		edges = append(edges, siteEdges(st)...)
		if !q.Can(access.TargetsRead) {
			continue
		}
		for t := range q.m.TargetsAt(s.ID) {
			b := q.target(t)
			box := Box{ID: t.ID.String(), Text: t.Name, Small: t.Address + ":" + itoa(int(t.Port)), Tone: b.Tone}
			if v := q.m.Service(t.Service); v != nil {
				box.Text, box.To = v.Name, q.To("services", v.Name)
			}
			columns[3] = append(columns[3], box)
			edges = append(edges, edge{s.ID.String(), box.ID, b.Tone, b.Text})
		}
	}
	return draw([]string{"", "Nodes", "Sites", "Targets"}, columns, edges)
}

// siteEdges are the lines from nodes into a site: of each node the best of its tunnels.
func siteEdges(st SiteState) []edge {
	var out []edge
	if st.Kind == model.LocalSite {
		for _, m := range st.Connectors {
			out = append(out, edge{m.ID, st.ID.String(), m.State.Tone, m.State.Text})
		}
		return out
	}
	best := map[string]edge{}
	for _, t := range st.Tunnels {
		peer := t.Peer
		if t.From != "" {
			peer = t.From
		}
		e := edge{peer, st.ID.String(), bad, "down"}
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
	return &Page{Title: "Topology", Live: topologyView(q, q.topology())}, nil
}
