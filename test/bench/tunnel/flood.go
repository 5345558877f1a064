package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
)

// The flood of the figure, and the load beside it: what two cores carry with room to spare. With the cores full,
// anything at all that is done besides takes its share away; what share that is, processor time tells.
const (
	floodRate   = 30000
	floodBatch  = 64
	floodAhead  = 3000        // handshakes made before the flood, and sent again and again
	floodRounds = 3           // of each, in turns
	paced       = 100_000_000 // bits per second that the stream's sender has to say
)

// flood compares a stream in a tunnel of the node without and with handshakes of strangers that come in at its
// WireGuard port.
func (b *bench) flood(ctx context.Context) error {
	key, err := b.nodeKey()
	if err != nil {
		return err
	}
	from := b.Lab.Host("flooder", "198.18.6.9")
	for _, kind := range []string{"valid mac1, random keys", "garbage"} {
		if err := b.flooded(ctx, from, flooder{To: netip.AddrPortFrom(b.node.Host.Addr, 51820), Key: key, Garbage: kind == "garbage"}, kind); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

// side is what was measured without the flood, or with it.
type side struct {
	rate          float64 // of the stream, Mbit/s
	cpu, took     time.Duration
	mib           float64
	arrived, lost int64 // datagrams at the node; those for which its socket had no room
}

func (s side) cores() float64 { return s.cpu.Seconds() / s.took.Seconds() }

func (b *bench) flooded(ctx context.Context, from *lab.Host, f flooder, kind string) error {
	order, err := json.Marshal(f)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var sides [2]side
	var sent report
	for round := range 2 * floodRounds {
		var p *lab.Process
		if round%2 == 1 {
			p = from.Start(fmt.Sprintf("flooder-%t-%d", f.Garbage, round), nil, self, "-flood", string(order))
			if err := measure.Pause(ctx, time.Second); err != nil { // it makes the handshakes
				return err
			}
		}
		err := b.side(ctx, &sides[round%2])
		if p != nil {
			p.Stop()
			err = errors.Join(err, sent.add(p.Log()))
		}
		if err != nil {
			return err
		}
	}
	calm, flooded := sides[0], sides[1]
	handshakes := float64(sent.Sent) / sent.Took.Seconds()
	// Beside the flood the stream may take more or less than without: its own share is what it costs a bit.
	own := calm.cores() * flooded.rate / calm.rate
	share := (flooded.cores() - own) / handshakes * floodRate / float64(runtime.NumCPU())
	return measure.Figure{
		"bench": "handshakes of strangers at the WireGuard port", "kind": kind,
		"compared":         fmt.Sprintf("a stream of 100 Mbit/s in a tunnel of the node, without and with the flood, %d times in turns; the flood is sent by a process of its own on the last processor", floodRounds),
		"handshakes_per_s": measure.Round(handshakes), "sender_cores": measure.Round(sent.CPU.Seconds() / sent.Took.Seconds()), "socket_lost_share": measure.Round(float64(flooded.lost) / float64(max(flooded.arrived+flooded.lost, 1))),
		"mbit_per_s": measure.Round(calm.rate / floodRounds), "mbit_per_s_flooded": measure.Round(flooded.rate / floodRounds), "ratio": measure.Round(flooded.rate / calm.rate),
		"node_cores": measure.Round(calm.cores()), "node_cores_flooded": measure.Round(flooded.cores()), "node_us_per_handshake": measure.Round(1e6 * (flooded.cores() - own) / handshakes),
		"node_percent_of_processors_at_30000": measure.Round(100 * share), "node_mib": calm.mib, "node_mib_flooded": flooded.mib,
		"wanted": "ratio >= 0.9 at 30000 per s, or, where the flood can't be sent that fast, at most 10 percent of the processors; memory bounded",
	}.Print(os.Stdout)
}

// side adds one measurement.
func (b *bench) side(ctx context.Context, s *side) error {
	before, err := measure.CPU(b.node.Proc)
	if err != nil {
		return err
	}
	arrived, lost, err := datagrams(b.node.Host)
	if err != nil {
		return err
	}
	since := time.Now()
	rate, err := b.rate(ctx, wireguard, pacedDown)
	if err != nil {
		return err
	}
	s.took += time.Since(since)
	after, err := measure.CPU(b.node.Proc)
	mib, merr := measure.Resident(b.node.Proc)
	arrived2, lost2, derr := datagrams(b.node.Host)
	s.rate, s.cpu, s.mib = s.rate+rate, s.cpu+after-before, max(s.mib, mib)
	s.arrived, s.lost = s.arrived+arrived2-arrived, s.lost+lost2-lost
	return errors.Join(err, merr, derr)
}

// datagrams are those that a host's kernel has given to sockets, and those for which a socket had no room.
func datagrams(h *lab.Host) (in, lost int64, err error) {
	out, err := h.Command("cat", "/proc/net/snmp").Output()
	if err != nil {
		return 0, 0, fmt.Errorf("%s: datagrams: %w", h.Name, err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			switch name {
			case "InDatagrams":
				in, err = strconv.ParseInt(fields[i], 10, 64)
			case "RcvbufErrors":
				lost, err = strconv.ParseInt(fields[i], 10, 64)
			}
			if err != nil {
				return 0, 0, fmt.Errorf("%s: datagrams: %w", h.Name, err)
			}
		}
	}
	return in, lost, nil
}

var saidKey = regexp.MustCompile(`tunnel up .*key="?([A-Za-z0-9+/]{43}=)`)

// nodeKey is the node's public key, as its log says it.
func (b *bench) nodeKey() (key [32]byte, err error) {
	m := saidKey.FindStringSubmatch(b.node.Proc.Log())
	if m == nil {
		return key, errors.New("the node's log does not say its key")
	}
	raw, err := base64.StdEncoding.DecodeString(m[1])
	copy(key[:], raw)
	return key, err
}
