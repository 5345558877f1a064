package lab

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Direction is a way through a link.
type Direction int

const (
	Both Direction = iota
	Up             // from the host
	Down           // to the host
)

func (d Direction) String() string { return [...]string{"both", "up", "down"}[d] }

// Link is the cable of a host's interface, under control. Two TAP devices stand between the host's end of the
// cable and the segment, and frames go from one to the other through us, whatever protocol they carry.
type Link struct {
	host     *Host
	taps     [2]*os.File // the host's side, the segment's side
	up, down *pipe
	pumps    sync.WaitGroup

	mu     sync.Mutex // one change at a time
	closed bool
}

// Link is the host's link; at first it is a wire. Frames that nobody asked to shape go through the kernel alone:
// the two devices are put into the cable when the link is first asked for, without the host noticing.
// Of a router it is the link to the internet.
func (h *Host) Link() (*Link, error) {
	h.lab.mu.Lock()
	defer h.lab.mu.Unlock()
	if h.wire.link != nil {
		return h.wire.link, nil
	}
	k, err := newLink(h)
	if err != nil {
		return nil, fmt.Errorf("link of %s: %w", h.Name, err)
	}
	h.wire.link = k
	h.lab.t.Cleanup(k.close)
	return k, nil
}

func newLink(h *Host) (_ *Link, err error) {
	ns, port := h.wire.seg.ns, h.wire.port
	k := &Link{host: h}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	inner, outer := port+"h", port+"s"
	for i, name := range []string{inner, outer} {
		if k.taps[i], err = openTap(ns, name); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	if k.up, err = newPipe(k.taps[0], k.taps[1], h.lab.derive(h.Name, Up), start); err != nil {
		return nil, err
	}
	if k.down, err = newPipe(k.taps[1], k.taps[0], h.lab.derive(h.Name, Down), start); err != nil {
		return nil, err
	}
	for _, p := range []*pipe{k.up, k.down} {
		k.pumps.Go(p.read)
		k.pumps.Go(p.deliver)
	}
	// The last line moves the host over, in one step.
	err = system(fmt.Sprintf(`link add b%[1]s type bridge mcast_snooping 0
link set %[2]s txqueuelen 16384 master b%[1]s up
link set %[3]s txqueuelen 16384 master br0 up
link set b%[1]s up
link set %[1]s master b%[1]s
`, port, inner, outer), "ip", "-n", ns, "-batch", "-")
	return k, err
}

// derive makes the seed of one direction of a host's link out of the lab's.
func (l *Lab) derive(host string, d Direction) uint64 {
	f := fnv.New64a()
	_, _ = f.Write([]byte(host))
	return mix(l.Seed ^ mix(f.Sum64()+uint64(d)))
}

// Set shapes a direction, or both alike. It holds for frames that come from now on.
func (k *Link) Set(d Direction, s Shape) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("link of %s: %w", k.host.Name, err)
	}
	return k.change(d, func(p *pipe) error {
		if err := offload(p.src, !s.perFrame()); err != nil {
			return err
		}
		p.set(s)
		return nil
	})
}

// Cut loses everything in a direction, or in both; what is under way as well.
func (k *Link) Cut(d Direction) error {
	return k.change(d, func(p *pipe) error { p.setCut(true); return nil })
}

// Heal ends every cut and leaves the shapes.
func (k *Link) Heal() error {
	return k.change(Both, func(p *pipe) error { p.setCut(false); return nil })
}

func (k *Link) change(d Direction, f func(*pipe) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return fmt.Errorf("link of %s: the lab has ended", k.host.Name)
	}
	var errs []error
	if d != Down {
		errs = append(errs, f(k.up))
	}
	if d != Up {
		errs = append(errs, f(k.down))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("link of %s: %w", k.host.Name, err)
	}
	return nil
}

func (k *Link) pipe(d Direction) *pipe {
	if d == Down {
		return k.down
	}
	return k.up
}

// Stats counts the frames of one direction; of Both it is Up's.
func (k *Link) Stats(d Direction) Stats {
	s, _, _ := k.pipe(d).counts()
	return s
}

// State is one direction's shape, and whether it is cut; of Both it is Up's.
func (k *Link) State(d Direction) (s Shape, cut bool) {
	_, s, cut = k.pipe(d).counts()
	return s, cut
}

// Seed decides with a frame's number whether the direction loses it; see Lost.
func (k *Link) Seed(d Direction) uint64 { return k.pipe(d).shaper.seed }

// close ends the goroutines; the devices go away with their files.
func (k *Link) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	for _, f := range k.taps {
		if f != nil {
			_ = f.Close()
		}
	}
	for _, p := range []*pipe{k.up, k.down} {
		if p != nil {
			_ = p.timer.Close()
		}
	}
	k.pumps.Wait()
}

// vnetHeader is the length of the header in front of every frame that says what checksum and segmentation
// are left to do (struct virtio_net_hdr). It goes on as it came.
const vnetHeader = 10

// openTap makes a TAP device in a namespace; it lives as long as the file.
func openTap(ns, name string) (*os.File, error) {
	fd := -1
	err := inside(ns, func() (err error) {
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return os.NewSyscallError("open /dev/net/tun", err)
	})
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make TAP device %s: %w", name, err)
	}
	// Only now: a poller that knows the file before it has a device is told that it is broken.
	f := os.NewFile(uintptr(fd), name)
	if err := offload(f, true); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// offload says whether the kernel may give us data that is not yet cut into frames. Checksums are never made:
// frames go from kernel to kernel.
func offload(tap *os.File, segmentation bool) error {
	flags := unix.TUN_F_CSUM
	if segmentation {
		flags |= unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_USO4 | unix.TUN_F_USO6
	}
	raw, err := tap.SyscallConn()
	if err != nil {
		return fmt.Errorf("%s: %w", tap.Name(), err)
	}
	var ioctl error
	err = raw.Control(func(fd uintptr) { ioctl = unix.IoctlSetInt(int(fd), unix.TUNSETOFFLOAD, flags) })
	if err := errors.Join(err, ioctl); err != nil {
		return fmt.Errorf("%s: set offloads: %w", tap.Name(), err)
	}
	return nil
}
