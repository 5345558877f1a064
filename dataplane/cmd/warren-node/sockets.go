package main

import (
	"fmt"
	"log/slog"
	"net"

	"github.com/warrenedge/warren/dataplane/config"
	"github.com/warrenedge/warren/shared/handover"
)

// Names of the sockets that a service manager may keep open across restarts.
const (
	socketHTTPS  = "https"  // stream
	socketHTTP   = "http"   // stream
	socketDNS    = "dns"    // datagram and stream
	socketGossip = "gossip" // datagram and stream
)

// listeners are the sockets that a node opens before it knows anything.
type listeners struct {
	https     net.Listener
	http      net.Listener // nil: none
	dnsUDP    net.PacketConn
	dnsTCP    net.Listener
	gossipUDP net.PacketConn // nil: no gossip
	gossipTCP net.Listener   // nil: no gossip
}

// listen takes the sockets that were handed over and opens the others.
func listen(at config.NodeListen, log *slog.Logger) (*listeners, error) {
	inherited, err := handover.Inherit()
	if err != nil {
		return nil, err
	}
	var open listeners
	if open.https, err = inherited.Listen(socketHTTPS, "tcp", at.HTTPS); err != nil {
		return nil, fmt.Errorf("listen.https: %w", err)
	}
	if at.HTTP != "" {
		open.http, err = inherited.Listen(socketHTTP, "tcp", at.HTTP)
		switch {
		case err == nil:
		case at.HTTPByDefault: // it was not asked for; a web server may have been here before
			open.http = nil
			log.Warn("going on without HTTP on "+at.HTTP+": no redirects to HTTPS, no HTTP-01 challenges; write listen.http, \"\" for none, to say what is meant", "err", err)
		default:
			return nil, fmt.Errorf("listen.http: %w (\"\" is for none: no redirects to HTTPS, no HTTP-01 challenges)", err)
		}
	}
	if open.dnsUDP, err = inherited.ListenPacket(socketDNS, "udp", at.DNS); err != nil {
		return nil, fmt.Errorf("listen.dns: %w", err)
	}
	if open.dnsTCP, err = inherited.Listen(socketDNS, "tcp", at.DNS); err != nil {
		return nil, fmt.Errorf("listen.dns: %w", err)
	}
	if at.Gossip != "" {
		if open.gossipUDP, err = inherited.ListenPacket(socketGossip, "udp", at.Gossip); err != nil {
			return nil, fmt.Errorf("listen.gossip: %w", err)
		}
		if open.gossipTCP, err = inherited.Listen(socketGossip, "tcp", at.Gossip); err != nil {
			return nil, fmt.Errorf("listen.gossip: %w", err)
		}
	}
	if unused := inherited.Unused(); len(unused) > 0 {
		log.Warn("sockets were handed over that nobody here serves", "names", unused)
	}
	return &open, nil
}
