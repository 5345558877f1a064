package console

import "sync"

// Limits of streams. Whoever has one too many is told so; what a stream can't send in time ends it, and the browser opens
// another one.
const (
	maxStreams = 1000 // of a replica
	maxPerUser = 30   // of these; a browser opens no more than six at a time without HTTP/2
)

// places are the streams that are open. Safe for concurrent use.
type places struct {
	mu   sync.Mutex
	all  int
	user map[string]int
}

// take reports whether there is room for one more stream of a user; if so, give must follow.
func (p *places) take(user string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= maxStreams || p.user[user] >= maxPerUser {
		return false
	}
	if p.user == nil {
		p.user = map[string]int{}
	}
	p.all++
	p.user[user]++
	return true
}

func (p *places) give(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.user[user]--; p.user[user] == 0 {
		delete(p.user, user)
	}
}
