package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// The faults that the lab knows. Each draws from the injector's seed what it leaves open.

// Killed is a program that dies (kill -9) and is started again at the end.
func Killed(p *Process) Fault {
	return Fault{"kill " + p.Name, func(*rand.Rand) (string, func() error, error) {
		p.Kill()
		return "", p.Restart, nil
	}}
}

// Paused is a program that does nothing (SIGSTOP) until the end. One that is dead by another fault stays so.
func Paused(p *Process) Fault {
	return Fault{"pause " + p.Name, func(*rand.Rand) (string, func() error, error) {
		if !p.Running() {
			return "which is dead", func() error { return nil }, nil
		}
		return "", p.Resume, p.Pause()
	}}
}

// Severed is a host's link cut in one direction or both.
func Severed(h *Host) Fault {
	return Fault{"cut " + h.Name, func(r *rand.Rand) (string, func() error, error) {
		d := Direction(r.IntN(3))
		k, err := h.Link()
		if err != nil {
			return "", nil, err
		}
		return d.String(), k.Heal, k.Cut(d)
	}}
}

// Lossy is a host's link that loses 5 to 30 % each way.
func Lossy(h *Host) Fault {
	return reshaped("lose at", h, func(r *rand.Rand, s *Shape) string {
		s.Loss = 0.05 + 0.25*r.Float64()
		return fmt.Sprintf("%.1f %%", 100*s.Loss)
	})
}

// Slow is a host's link that delays by 20 to 300 ms each way.
func Slow(h *Host) Fault {
	return reshaped("slow", h, func(r *rand.Rand, s *Shape) string {
		s.Delay += time.Duration(20+r.IntN(281)) * time.Millisecond
		return s.Delay.String()
	})
}

// reshaped changes both directions of a link and gives them back the shapes that they had.
func reshaped(name string, h *Host, change func(*rand.Rand, *Shape) string) Fault {
	return Fault{name + " " + h.Name, func(r *rand.Rand) (string, func() error, error) {
		k, err := h.Link()
		if err != nil {
			return "", nil, err
		}
		up, _ := k.State(Up)
		down, _ := k.State(Down)
		s := up
		detail := change(r, &s)
		return detail, func() error { return errors.Join(k.Set(Up, up), k.Set(Down, down)) }, k.Set(Both, s)
	}}
}

// Parted is a partition of two groups, both ways or one. It ends every other partition with its own.
func Parted(name string, a, b []*Host) Fault {
	return Fault{"part " + name, func(r *rand.Rand) (string, func() error, error) {
		if len(a) == 0 || len(b) == 0 {
			return "", nil, errors.New("a group is empty")
		}
		l := a[0].lab
		switch r.IntN(3) {
		case 0:
			return "there", l.Unite, l.PartitionOneWay(a, b)
		case 1:
			return "back", l.Unite, l.PartitionOneWay(b, a)
		}
		return "both ways", l.Unite, l.Partition(a, b)
	}}
}

// Deaf is a host without UDP.
func Deaf(h *Host) Fault {
	return Fault{"block UDP of " + h.Name, func(*rand.Rand) (string, func() error, error) { return "", h.AllowUDP, h.BlockUDP() }}
}

// Streamless is a host whose TCP to and from a port is dropped.
func Streamless(h *Host, port int) Fault {
	return Fault{fmt.Sprintf("block TCP %d of %s", port, h.Name), func(*rand.Rand) (string, func() error, error) { return "", h.AllowTCP, h.BlockTCP(port) }}
}

// Rebound is a router that forgets its translations. There is nothing to put right.
func Rebound(s *Site) Fault {
	return Fault{"rebind " + s.Router.Name, func(*rand.Rand) (string, func() error, error) {
		return "", func() error { return nil }, s.Rebind()
	}}
}

// Moved is a host that has another address of the same family until the end.
func Moved(h *Host, to netip.Addr) Fault {
	return Fault{"move " + h.Name, func(*rand.Rand) (string, func() error, error) {
		for _, a := range h.Addrs() {
			if a.Is4() == to.Is4() {
				return "to " + to.String(), func() error { return h.ChangeAddr(a.String()) }, h.ChangeAddr(to.String())
			}
		}
		return "", nil, fmt.Errorf("%s has no address of the family of %s", h.Name, to)
	}}
}

// Mistimed is a program whose wall clock jumps by up to a day, back or ahead, and jumps back at the end.
func Mistimed(p *Process) Fault {
	return Fault{"clock of " + p.Name, func(r *rand.Rand) (string, func() error, error) {
		by := time.Duration(1+r.IntN(24*60*60)) * time.Second
		if r.IntN(2) == 0 {
			by = -by
		}
		return "by " + by.String(), func() error { return p.JumpClock(0) }, p.JumpClock(by)
	}}
}
