package presence

// Standing is what is known of a node and a revision.
type Standing int

// Standings.
const (
	Behind Standing = iota // it is connected and has not applied the revision, or nothing is known of it yet
	Away                   // it is not connected
	Ready                  // it has applied all that concerns it
)
