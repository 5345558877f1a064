//go:build !linux

package netcheck

import (
	"context"
	"net"
	"net/netip"
)

func pathMTU(net.Conn) int { return 0 }

// uncut is none: here nothing forbids that packets are cut.
func uncut(context.Context, netip.AddrPort) (net.Conn, error) { return nil, nil }
