package console

import (
	"fmt"
	"net/http"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

// Previewer tells what writes would do to nodes and connectors.
type Previewer interface {
	Preview(prev, next *model.Model, b model.Batch) ([]snapshot.Preview, []snapshot.Problem)
}

// written is the page on which an object, with what belongs to it, is written as YAML.
type written struct {
	title  string
	crumbs []Crumb
	back   string
	may    bool // the caller may write it
}

// rehearsed is what saving would do.
type rehearsed struct {
	objects  []rehearsedObject
	readers  []rehearsedReader
	problems []string
}

type rehearsedObject struct {
	name  string
	state Badge
	lines []DiffLine
}

// rehearsedReader is a node or connector that would hear of it.
type rehearsedReader struct {
	kind, name string
	resources  []string
}

// mostHeard is how many resources of one reader are named.
const mostHeard = 20

func (q *Request) yamlPage(w written, f Form, found *rehearsed, status int) *Page {
	return &Page{Title: w.title, Crumbs: w.crumbs, Status: status, Top: yamlView(q, w, f, found)}
}

// writeYAML does what a button of the page asks for: says what saving would do, or saves.
func (q *Request) writeYAML(w written) (*Done, error) {
	f := formOf(q)
	text := f.Get("text") + "\n"
	refuse := func(wrong []lineError) (*Done, error) {
		for _, e := range wrong {
			f.Wrong = append(f.Wrong, Wrong{"text", e.String()})
		}
		return &Done{Page: q.yamlPage(w, f, nil, http.StatusUnprocessableEntity)}, nil
	}
	if f.Get("do") == "save" {
		done, _, rev, wrong, err := q.applyText(q.Context(), text)
		if err != nil {
			return nil, err
		}
		if len(wrong) > 0 {
			return refuse(wrong)
		}
		changed := 0
		for _, o := range done {
			if o.Changed || o.Created {
				changed++
			}
		}
		return &Done{To: w.back, Said: fmt.Sprintf("Saved: %d of %s changed.", changed, plural(len(done), "object", "objects")), Revision: rev}, nil
	}
	var r admin.Rehearsal
	done, of, _, wrong, err := q.applyText(admin.Rehearse(q.Context(), &r), text)
	if err != nil {
		return nil, err
	}
	if len(wrong) > 0 {
		return refuse(wrong)
	}
	found, err := q.rehearsed(done, of, r.Batch)
	if err != nil {
		return nil, err
	}
	return &Done{Page: q.yamlPage(w, f, found, 0)}, nil
}

// rehearsed is what came of a rehearsal.
func (q *Request) rehearsed(done []admin.Outcome, of []*document, b model.Batch) (*rehearsed, error) {
	out := &rehearsed{}
	for i, o := range done {
		v := rehearsedObject{name: of[i].Kind + " " + o.Name, state: Badge{idle, "as it is", ""}}
		switch {
		case o.Created:
			v.state = Badge{good, "new", ""}
		case o.Changed:
			v.state = Badge{warn, "changed", ""}
		}
		if o.Created || o.Changed {
			before, err := q.textOf(of[i].Kind, o.Before)
			if err != nil {
				return nil, err
			}
			after, err := q.textOf(of[i].Kind, o.After)
			if err != nil {
				return nil, err
			}
			v.lines = compared(before, after)
		}
		out.objects = append(out.objects, v)
	}
	if prev := q.World.Get(); q.Previewer != nil && prev.Revision() > 0 && b.To > 0 {
		q.hearers(out, prev, b)
	}
	return out, nil
}

// textOf is an object as it is written, "" if there is none.
func (q *Request) textOf(kind string, view any) (string, error) {
	if view == nil {
		return "", nil
	}
	for _, k := range q.writtenKinds() {
		if k.name == kind {
			return k.text(view)
		}
	}
	return "", fmt.Errorf("a %s was written", kind)
}

// hearers finds out who would hear of a batch.
func (q *Request) hearers(out *rehearsed, prev *model.Model, b model.Batch) {
	b.From = prev.Revision()
	next := prev.Apply(b)
	readers, problems := q.Previewer.Preview(prev, next, b)
	for _, p := range problems {
		out.problems = append(out.problems, resource.ShortType(p.Ref.TypeURL)+": "+p.Err.Error())
	}
	q = &Request{Request: q.Request, Console: q.Console, Who: q.Who, Org: q.Org, Now: q.Now, m: next} // what is new has its name there
	for _, r := range readers {
		v := rehearsedReader{kind: string(r.Kind), name: r.Name}
		switch {
		case r.Kind == identity.Node && !q.Who.Can(access.NodesRead, model.OrgID{}):
			v.name = r.ID
		case r.Kind == identity.Connector:
			id, err := model.ConnectorID{}.Parse(r.ID)
			if c := next.Connector(id); err != nil || c == nil || !q.Who.Can(access.ConnectorsRead, c.Org) {
				continue
			}
		}
		add := func(sign string, refs []snapshot.Ref) {
			for _, ref := range refs {
				text := sign + resource.ShortType(ref.TypeURL)
				if about := q.aboutNames(ref.Name); len(about) > 0 {
					text += " of " + about[len(about)-1]
				}
				v.resources = append(v.resources, text)
			}
		}
		add("", r.Upserts)
		add("no more ", r.Removed)
		if n := len(v.resources); n > mostHeard {
			v.resources = append(v.resources[:mostHeard], fmt.Sprintf("and %d more", n-mostHeard))
		}
		out.readers = append(out.readers, v)
	}
}

// serviceText is a service with its targets, as YAML.
func (q *Request) serviceText(s *model.Service) (string, error) {
	v, err := q.Admin.Services.Get(q.Context(), q.Who, q.Org.ID.String(), s.ID.String())
	if err != nil {
		return "", err
	}
	text, err := q.textOf("Service", v)
	if err != nil {
		return "", err
	}
	for _, t := range q.targetsOf(s) {
		v, err := q.Admin.Targets.Get(q.Context(), q.Who, q.Org.ID.String(), t.ID.String())
		if err != nil {
			return "", err
		}
		more, err := q.textOf("Target", v)
		if err != nil {
			return "", err
		}
		text += "---\n" + more
	}
	return text, nil
}

func (q *Request) writtenService() (s *model.Service, w written, err error) {
	if s, err = q.serviceNamed(); err != nil {
		return nil, w, err
	}
	back := q.To("services", s.Name)
	return s, written{"YAML of " + s.Name, q.serviceCrumbs(Crumb{s.Name, back}), back, q.Can(access.ServicesWrite)}, nil
}

func serviceYAML(q *Request) (*Page, error) {
	s, w, err := q.writtenService()
	if err != nil {
		return nil, err
	}
	text, err := q.serviceText(s)
	return q.yamlPage(w, filled("text", text), nil, 0), err
}

func changeServiceYAML(q *Request) (*Done, error) {
	_, w, err := q.writtenService()
	if err != nil {
		return nil, err
	}
	return q.writeYAML(w)
}

func (q *Request) writtenPolicy() (v admin.Policy, w written, err error) {
	if v, err = q.policyNamed(); err != nil {
		return v, w, err
	}
	back := q.To("policies", v.Name)
	return v, written{"YAML of " + v.Name, q.policyCrumbs(Crumb{v.Name, back}), back, q.Can(access.PoliciesWrite)}, nil
}

func policyYAML(q *Request) (*Page, error) {
	v, w, err := q.writtenPolicy()
	if err != nil {
		return nil, err
	}
	text, err := q.textOf("Policy", v)
	return q.yamlPage(w, filled("text", text), nil, 0), err
}

func changePolicyYAML(q *Request) (*Done, error) {
	_, w, err := q.writtenPolicy()
	if err != nil {
		return nil, err
	}
	return q.writeYAML(w)
}
