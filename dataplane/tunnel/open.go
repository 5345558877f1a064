package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// openLocked opens the device, its UDP port included.
func (t *Tunnel) openLocked(self netip.Addr) error {
	if !fabric.Overlay.Contains(self) {
		return fmt.Errorf("tunnel: own overlay address %v is not in %s", self, fabric.Overlay)
	}
	dev, nw, mode, err := t.open(self)
	if err != nil {
		return err
	}
	f := newFiltered(dev, self, t.opts.Filter, t.m.dropped)
	f.echo, f.came, f.room = t.stock.answered, t.bind.inflight.end, &t.bind.room
	wg := device.NewDevice(f, t.bind, t.logger())
	err = wg.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\n", t.opts.Key.RevealHex(), t.opts.ListenPort))
	if err == nil {
		err = t.bind.room.up(wg, f)
	}
	if err != nil {
		wg.Close()
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("tunnel: UDP port %d is in use by another program: %w", t.opts.ListenPort, err)
		}
		return fmt.Errorf("tunnel: open UDP port %d: %w", t.opts.ListenPort, err)
	}
	pulse, err := nw.listenPacket(context.Background(), fabric.HeartbeatPort)
	if err != nil {
		wg.Close()
		return fmt.Errorf("tunnel: heartbeats: %w", err)
	}
	t.wg, t.tun, t.net, t.mode, t.pulse = wg, f, nw, mode, pulse
	close(t.up)
	t.log.Info("tunnel up", "mode", mode, "addr", self, "key", t.opts.Key.Public())
	return nil
}

// openDevice opens what the mode says.
func (t *Tunnel) openDevice(self netip.Addr) (tun.Device, network, string, error) {
	if t.opts.Mode != ModeNetstack {
		dev, nw, err := openTUN(t.opts.Interface, self, t.opts.Filter)
		if err == nil {
			return dev, nw, ModeTUN, nil
		}
		if t.opts.Mode == ModeTUN {
			return nil, nil, "", fmt.Errorf("tunnel: %w", err)
		}
		t.log.Info("no TUN interface, using a TCP stack inside the process", "err", err)
	}
	dev, err := openNetstack(self)
	if err != nil {
		return nil, nil, "", fmt.Errorf("tunnel: %w", err)
	}
	return dev, dev, ModeNetstack, nil
}

// logger passes WireGuard's messages on. All are for debugging: what matters is in Peers.
func (t *Tunnel) logger() *device.Logger {
	logf := func(format string, args ...any) {
		t.refused.note(format, args, time.Now())
		if t.log.Enabled(context.Background(), slog.LevelDebug) {
			t.log.Debug("wireguard", "detail", fmt.Sprintf(format, args...))
		}
	}
	return &device.Logger{Verbosef: logf, Errorf: logf}
}
