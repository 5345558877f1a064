package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// preflight checks whether this machine is fit to become a node.
func preflight() []finding {
	const category = "this machine"
	out := []finding{
		port("tcp", ":443", "TLS port", "failed", "end the program that listens there, or say listen.https"),
		port("udp", ":53", "DNS port, UDP", "failed", "end the other DNS server (systemd-resolved: DNSStubListener=no), or say listen.dns"),
		port("tcp", ":53", "DNS port, TCP", "failed", "end the other DNS server (systemd-resolved: DNSStubListener=no), or say listen.dns"),
		port("udp", ":51820", "WireGuard port", "failed", "end the other WireGuard interface, or say listen.wireguard"),
		port("tcp", ":80", "HTTP port", "warning", "end the program that listens there; without it there is no redirect to HTTPS and no http-01"),
		port("tcp", ":7946", "gossip port", "warning", "end the program that listens there, or say listen.gossip"),
		tun(), room("/var/lib"), descriptors(),
	}
	for i := range out {
		out[i].Category, out[i].See = category, see[category]
	}
	return out
}

// port tries whether a port can be opened.
func port(network, at, name, otherwise, fix string) finding {
	f := finding{Name: fmt.Sprintf("%s %s%s is free", name, network, at), State: "ok"}
	var err error
	if network == "udp" {
		var c net.PacketConn
		if c, err = net.ListenPacket(network, at); err == nil {
			_ = c.Close()
		}
	} else {
		var l net.Listener
		if l, err = net.Listen(network, at); err == nil {
			_ = l.Close()
		}
	}
	switch {
	case errors.Is(err, syscall.EACCES):
		f.State, f.Cause, f.Fix = "warning", "only root, or who has CAP_NET_BIND_SERVICE, may open it", "run this as root; the systemd unit grants it to warren-node"
	case err != nil:
		f.State, f.Cause, f.Fix = otherwise, err.Error(), fix
	}
	return f
}

func tun() finding {
	f := finding{Name: "TUN interfaces can be made", State: "ok"}
	d, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		f.State, f.Cause, f.Fix = "warning", err.Error(), "modprobe tun, and grant CAP_NET_ADMIN; without it tunnels run in the process, which works and is slower"
		return f
	}
	_ = d.Close()
	return f
}

func room(dir string) finding {
	f := finding{Name: "there is room in " + dir, State: "ok"}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		f.State, f.Cause, f.Fix = "warning", err.Error(), "make "+dir
		return f
	}
	const least = 256 << 20
	if free := fs.Bavail * uint64(fs.Bsize); free < least {
		f.State, f.Cause, f.Fix = "failed", fmt.Sprintf("%d MiB are free", free>>20), "make room: a node keeps what it last knew on disk"
	}
	return f
}

func descriptors() finding {
	f := finding{Name: "enough files may be open", State: "ok"}
	var l syscall.Rlimit
	const least = 65536
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err == nil && l.Max < least {
		f.State, f.Cause, f.Fix = "warning", fmt.Sprintf("%d at most, and each connection takes two", l.Max), "LimitNOFILE=1048576 in the systemd unit, as ours says"
	}
	return f
}
