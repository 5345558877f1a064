package push

import (
	"cmp"

	"github.com/warrenedge/warren/controlplane/snapshot"
)

// cut is where a list of rejections, ordered by type URL and name, ends before its time: what comes behind may be
// rejected or applied, nobody here knows.
type cut struct {
	last    snapshot.Ref // the last one that is listed
	omitted int          // how many are not; 0: the list is whole
}

// after takes note of one that is listed.
func (c *cut) after(ref snapshot.Ref) {
	if byURL(ref, c.last) > 0 {
		c.last = ref
	}
}

// hides reports whether a resource may be among those that are not listed.
func (c cut) hides(ref snapshot.Ref) bool { return c.omitted > 0 && byURL(ref, c.last) > 0 }

// byURL is the order of readers, who know nothing of the one in which types depend on each other.
func byURL(a, b snapshot.Ref) int {
	return cmp.Or(cmp.Compare(a.TypeURL, b.TypeURL), cmp.Compare(a.Name, b.Name))
}
