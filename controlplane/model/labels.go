package model

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/hostname"
)

// Labels are what people call objects by, in the syntax of Kubernetes. Nodes never see them.
type Labels map[string]string

// maxLabels bounds the labels of one object.
const maxLabels = 64

// labelWord is the part of a key after the prefix, and a value that is not empty.
var labelWord = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)

// Validate names the label that is none.
func (l Labels) Validate() error {
	if len(l) > maxLabels {
		return fault.Field("labels", "%d of them, want %d at most", len(l), maxLabels)
	}
	for _, key := range slices.Sorted(maps.Keys(l)) {
		if err := checkLabelKey(key); err != nil {
			return err
		}
		if v := l[key]; v != "" && !labelWord.MatchString(v) {
			return fault.Field("labels."+key, "value %q: want nothing, or at most 63 letters, digits, \"-\", \"_\" and \".\", the first and the last no sign", v)
		}
	}
	return nil
}

func checkLabelKey(key string) error {
	name := key
	if prefix, rest, found := strings.Cut(key, "/"); found {
		if c, err := hostname.Canonical(prefix); err != nil || c != prefix {
			return fault.Field("labels", "key %q: want a domain in small letters before the slash", key)
		}
		name = rest
	}
	if !labelWord.MatchString(name) {
		return fault.Field("labels", "key %q: want at most 63 letters, digits, \"-\", \"_\" and \".\", the first and the last no sign; a domain and a slash may stand before", key)
	}
	return nil
}
