package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const initiationSize = 148

// flooder is a process that sends handshakes of strangers.
type flooder struct {
	To      netip.AddrPort
	Key     [32]byte // the node's
	Garbage bool     // instead of what needs it
}

// report is what the flooder says at its end.
type report struct {
	Sent int64
	CPU  time.Duration
	Took time.Duration
}

// add takes in what one flooder has printed.
func (r *report) add(log string) error {
	var one report
	if err := json.Unmarshal([]byte(strings.TrimSpace(log)), &one); err != nil {
		return fmt.Errorf("flooder: %w: %s", err, log)
	}
	r.Sent, r.CPU, r.Took = r.Sent+one.Sent, r.CPU+one.CPU, r.Took+one.Took
	return nil
}

// runFlooder sends until ctx ends. It has the last processor, so that the kernel does not move it to where the node is.
func runFlooder(ctx context.Context, order string) error {
	var f flooder
	if err := json.Unmarshal([]byte(order), &f); err != nil {
		return fmt.Errorf("flood: %w", err)
	}
	runtime.LockOSThread()
	var last unix.CPUSet
	last.Set(runtime.NumCPU() - 1)
	if err := unix.SchedSetaffinity(0, &last); err != nil {
		return fmt.Errorf("flood: processor: %w", err)
	}
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return err
	}
	defer c.Close()
	go drain(c)
	r, dst := rand.NewChaCha8([32]byte{1}), net.UDPAddrFromAddrPort(f.To)
	all := make([]ipv4.Message, floodAhead)
	for i := range all {
		all[i] = ipv4.Message{Buffers: [][]byte{make([]byte, initiationSize)}, Addr: dst}
		initiation(all[i].Buffers[0], r, f.Key, f.Garbage)
	}
	sent, took, err := f.send(ctx, ipv4.NewPacketConn(c), all)
	if err != nil {
		return err
	}
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report{sent, time.Duration(u.Utime.Nano() + u.Stime.Nano()), took})
}

// send keeps the rate. What it could not send in time it sends at once, if that is not more than all there is.
func (f flooder) send(ctx context.Context, pc *ipv4.PacketConn, all []ipv4.Message) (sent int64, took time.Duration, err error) {
	start := time.Now()
	due := start
	for at := 0; ctx.Err() == nil; {
		now := time.Now()
		if due.After(now) {
			time.Sleep(due.Sub(now))
			continue
		}
		if most := time.Duration(len(all)) * time.Second / floodRate; now.Sub(due) > most {
			due = now.Add(-most)
		}
		n, err := pc.WriteBatch(all[at:min(at+floodBatch, len(all))], 0)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return 0, 0, err
		}
		sent += int64(n)
		if at += floodBatch; at >= len(all) {
			at = 0
		}
		due = due.Add(time.Duration(n) * time.Second / floodRate)
	}
	return sent, time.Since(start), nil
}

// drain takes what is answered.
func drain(c *net.UDPConn) {
	for b := make([]byte, 2048); ; {
		if _, _, err := c.ReadFromUDPAddrPort(b); err != nil {
			return
		}
	}
}

// initiation fills a message of WireGuard's first kind: random, and unless it is garbage with the mac1 that
// everybody can make who knows the node's public key.
func initiation(b []byte, r *rand.ChaCha8, key [32]byte, garbage bool) {
	_, _ = r.Read(b)
	binary.LittleEndian.PutUint32(b, 1)
	if garbage {
		return
	}
	h := blake2s.Sum256(append([]byte("mac1----"), key[:]...))
	m, _ := blake2s.New128(h[:])
	m.Write(b[:116])
	copy(b[116:], m.Sum(nil))
	clear(b[132:])
}
