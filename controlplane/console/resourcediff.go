package console

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/yamltext"
	"github.com/warrenedge/warren/shared/resource"
)

// held is a resource with all that is to be said of it.
type held struct {
	Resource
	why     []string // it is there
	steps   []Hop    // how far it has come
	now     string   // what is desired, as YAML
	behind  *Change  // from what was applied to what is desired; nil: that is the same, or not known
	unknown string   // why that is not known
	changes []Change // what was changed in it, the newest first
}

// Change is the way from one content of a resource to the next.
type Change struct {
	Title string
	Lines []DiffLine
}

// DiffLine is a line of a comparison: "add", "del" or "" for what is the same.
type DiffLine struct{ Kind, Text string }

// contentText is a content as YAML, which is easier to read and to compare.
func contentText(b json.RawMessage, err error) (string, error) {
	if err != nil || b == nil {
		return "", err
	}
	text, err := yamltext.FromJSON(b)
	return string(text), err
}

// compared are the lines in which texts differ, with those around them.
func compared(before, after string) []DiffLine {
	var out []DiffLine
	text := string(diff.Diff("before", []byte(before), "after", []byte(after)))
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if i < 3 || line == "" { // which files those are
			continue
		}
		kind := map[byte]string{'+': "add", '-': "del", '@': "at"}[line[0]]
		out = append(out, DiffLine{kind, line})
	}
	return out
}

// compare finds out what has changed, of what the resource was before.
func (v *held) compare(list []push.Former) error {
	texts := make([]string, len(list)+1)
	texts[len(list)] = v.now
	for i, f := range list {
		var err error
		if texts[i], err = contentText(f.Shown()); err != nil {
			return err
		}
	}
	for i := len(list) - 1; i >= 0; i-- {
		v.changes = append(v.changes, Change{
			fmt.Sprintf("Revision %d: %s → %s", list[i].Until, short(push.State{Version: list[i].Version}), short(next(list, i, v.Desired))), compared(texts[i], texts[i+1]),
		})
	}
	if v.Applied.Version == v.Desired.Version {
		return nil
	}
	if v.Applied.Version == "" {
		v.unknown = notApplied(v.Resource)
		return nil
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Version == v.Applied.Version {
			v.behind = &Change{"What it has yet to apply", compared(texts[i], v.now)}
			return nil
		}
	}
	v.unknown = "What it has applied was replaced too long ago: this replica does not know its content any more."
	return nil
}

// next is the version that came after one of those before, zero after the last one if the resource is gone.
func next(list []push.Former, i int, now push.State) push.State {
	if i+1 < len(list) {
		return push.State{Version: list[i+1].Version}
	}
	return now
}

// notApplied says why nothing is known to be applied.
func notApplied(r Resource) string {
	switch r.Status {
	case push.StatusRejected, push.StatusUnknown:
		return "It goes on with what it had before, which only itself knows."
	case push.StatusOffline:
		return "It is not connected: what it holds is not known here."
	case push.StatusProblem:
		return ""
	}
	return "It has nothing of it yet."
}

// stepsOf is how far a resource has come on its way.
func stepsOf(r Resource) []Hop {
	step := func(name string, s push.State) Hop {
		switch {
		case r.Status == push.StatusProblem:
			return Hop{bad, name, "nothing"}
		case s.Version == "":
			return Hop{idle, name, "not known, or not yet"}
		case s.Version == r.Desired.Version:
			return Hop{good, name, fmt.Sprintf("%s at revision %d", short(s), s.Revision)}
		}
		return Hop{warn, name, fmt.Sprintf("%s, an older one, at revision %d", short(s), s.Revision)}
	}
	wanted := Hop{good, "Wanted", fmt.Sprintf("%s since revision %d", short(r.Desired), r.Desired.Revision)}
	switch {
	case r.Status == push.StatusProblem:
		wanted = Hop{bad, "Wanted", "it can't be made"}
	case r.Desired.Version == "":
		wanted.Text = "that it goes"
	}
	out := []Hop{wanted, step("Sent", r.Sent), step("Acknowledged", r.Acknowledged), step("Applied", r.Applied)}
	if r.Status == push.StatusRejected {
		out[3] = Hop{bad, "Applied", "refused"}
	}
	return out
}

// whyHeld says why somebody holds a resource, and why it stands as it does.
func (q *Request) whyHeld(h holder, r Resource) []string {
	var out []string
	switch scope, id, _ := strings.Cut(r.Scope, "/"); {
	case r.Desired.Version == "":
		out = append(out, h.Name+" should not hold it any more: what it was made of is gone, or has moved elsewhere.")
	case r.Scope == resource.ScopeCluster:
		out = append(out, "All nodes and connectors that read this type hold it.")
	case scope == "pool":
		pool, _ := model.PoolID{}.Parse(id) // its own scope names it
		out = append(out, h.Name+" holds it because it is in the pool "+q.poolName(pool)+", whose nodes serve it.")
	case scope == "site":
		out = append(out, h.Name+" holds it because it stands in this site.")
	case scope == "node":
		out = append(out, "It is of "+h.Name+" alone.")
	}
	switch r.Status {
	case push.StatusSynced:
		out = append(out, "It has applied what is wanted.")
	case push.StatusPending:
		out = append(out, pendingText(r))
	case push.StatusRejected:
		out = append(out, "It could not apply it, for the reason above, and goes on with what it had. Mend the object that it is made of; if the reason is something that its program does not know, give it a newer one.")
	case push.StatusProblem:
		out = append(out, "It can't be made of what was written, for the reason above: nodes hear nothing new of it until the object is mended.")
	case push.StatusUnknown:
		out = append(out, "It has refused more than it could list, perhaps this. Mend what is listed first.")
	case push.StatusOffline:
		out = append(out, "It is not connected. It serves what it had, and follows when it is back.")
	}
	return out
}

// pendingText says at which step a resource is.
func pendingText(r Resource) string {
	switch {
	case r.Sent.Version != r.Desired.Version:
		return "It was not sent yet: a moment ago something changed, or what comes before it is not acknowledged."
	case r.Acknowledged.Version != r.Desired.Version:
		return "It was sent, and is not acknowledged yet."
	}
	return "It is acknowledged, and is applied with the rest of its revision."
}
