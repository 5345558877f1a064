package tunnel

import (
	"testing"

	"golang.zx2c4.com/wireguard/conn"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// What is read at once stays a train that the kernel need not cut before its time, whatever the size of the packets;
// and it is as long as it may be.
func TestReadsAreTrains(t *testing.T) {
	const (
		overhead = 32          // of a sealed packet
		headers  = 14 + 20 + 8 // of the datagram, Ethernet's included
	)
	one := tcpPacket(connA, away, 1, header.TCPFlagAck, nil)
	for mss := 500; mss <= mtu-len(one); mss += 3 {
		d := &netstackDevice{link: newLink(mtu)}
		var list stack.PacketBufferList
		sent := 0
		for range 5 {
			p := tcpPacket(connA, away, 1, header.TCPFlagAck, make([]byte, gsoSize-len(one)))
			pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
			pkt.GSOOptions = stack.GSO{Type: stack.GSOTCPv6, MSS: uint16(mss)}
			list.PushBack(pkt)
			sent += len(content(p))
		}
		if _, err := d.link.WritePackets(list); err != nil {
			t.Fatal(err)
		}
		list.Reset()
		bufs, sizes := make([][]byte, conn.IdealBatchSize), make([]int, conn.IdealBatchSize)
		for i := range bufs {
			bufs[i] = make([]byte, mtu)
		}
		for got := 0; got < sent; {
			n, err := d.Read(bufs, sizes, 0)
			if err != nil {
				t.Fatal(err)
			}
			train := headers
			for i := range n {
				got += len(content(bufs[i][:sizes[i]]))
				train += (sizes[i]+15)/16*16 + overhead
			}
			if train >= 1<<16 {
				t.Fatalf("mss %d: %d packets are %d bytes in one datagram", mss, n, train)
			}
			if got < sent && n < len(bufs) && train < 1<<16-2*mtu-n*16 {
				t.Fatalf("mss %d: only %d packets, %d bytes, though more is there", mss, n, train)
			}
		}
	}
}
