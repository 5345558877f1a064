//go:build !linux

package cli

// preflight says that nodes run on Linux.
func preflight() []finding {
	return []finding{{Category: "this machine", Name: "it runs Linux", State: "failed", Cause: "nodes run on Linux", Fix: "take another machine", See: see["this machine"]}}
}
