package tunnel

import (
	"sync/atomic"

	"golang.zx2c4.com/wireguard/device"
)

// room is how many packets WireGuard makes room for at once. It asks for the number whenever it makes anything. What reads
// the sockets and the device needs all of the room, as a read fills it. What belongs to a peer would grow by itself as
// packets come, and thousands of peers that are idle would hold 6 KiB each for nothing: it begins with room for one.
// The zero value gives all. Safe for concurrent use.
type room struct{ peers atomic.Bool }

// of is the number that WireGuard is told where a device or a bind has room for so many.
func (r *room) of(all int) int {
	if r.peers.Load() {
		return 1
	}
	return all
}

// readers runs what opens sockets, whose readers have all of the room.
func (r *room) readers(open func() error) error {
	r.peers.Store(false)
	defer r.peers.Store(true)
	return open()
}

// up brings a device up. From then on peers are made.
func (r *room) up(wg *device.Device, f *filtered) error {
	return r.readers(func() error {
		<-f.reading // with the room that its reader has made
		return wg.Up()
	})
}
