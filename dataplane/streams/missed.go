package streams

// Miss tells a connector that it does not answer in its tunnel to us: it may believe otherwise for long while that is
// idle, and only it can call. A control connection that ends before that was heard leaves it to the next one.
func (n *Node) Miss(connector string) {
	p := n.pool(connector, false)
	if p == nil {
		return
	}
	p.misses.Store(true)
	p.doubt()
}

// Doubt tells that there is reason to ask a peer now: an idle control connection asks seldom.
func (n *Node) Doubt(peer string) {
	if p := n.pool(peer, false); p != nil {
		p.doubt()
	}
}

// doubt has the session ask at once, if there is one.
func (p *pool) doubt() {
	p.mu.Lock()
	s := p.session
	p.mu.Unlock()
	if s != nil {
		s.doubt()
	}
}

// missed are the flags of a node's next ask, with which a session says it once.
func (p *pool) missed(s *session) byte {
	if s.told != 0 || !p.misses.Load() {
		return 0
	}
	s.told = s.seq
	return flagStuck
}

// heardOf takes that the peer has answered up to an ask.
func (p *pool) heardOf(s *session, seq uint32) {
	if s.told != 0 && seq >= s.told {
		s.told = 0
		p.misses.Store(false)
	}
}
