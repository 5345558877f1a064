package main

import (
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/snapshot"
)

// publisher is where rows become resources: each batch makes the next model, what it changed is compiled,
// and both go out together.
func publisher(world *model.Current, sealer *authority.Sealer, pusher *push.Server, seen *presence.Store) func(model.Batch) {
	compiler := snapshot.New(sealer.Open)
	var prev *model.Model
	return func(b model.Batch) {
		next := world.Get().Apply(b)
		pusher.Publish(compiler.Build(prev, next, b), next)
		prev = next
		world.Set(next)
		seen.Follow(b, next)
	}
}
