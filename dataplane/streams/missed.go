package streams

// Miss tells a connector that it does not answer in its tunnel to us: it may believe otherwise for long while that is
// idle, and only it can call.
func (n *Node) Miss(connector string) {
	p := n.pool(connector, false)
	if p == nil {
		return
	}
	p.mu.Lock()
	s := p.session
	p.mu.Unlock()
	if s != nil {
		s.misses.Store(true)
		s.doubt()
	}
}

// missed are the flags of a node's next ask.
func (s *session) missed() byte {
	if s.misses.Swap(false) {
		return flagStuck
	}
	return 0
}
