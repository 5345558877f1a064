package netcheck

import (
	"errors"
	"net"
	"strconv"
	"testing"

	"github.com/miekg/dns"
)

// A way on which packets of more than so many octets are lost is found out, also when that is no size that is tried.
func TestPathMTU(t *testing.T) {
	for most, want := range map[int]int{1500: 1500, 1499: 1492, 1420: 1420, 1300: 1280, 1000: 0} {
		t.Run(strconv.Itoa(most), func(t *testing.T) {
			t.Parallel()
			at := node(t, "127.0.0.1", func(q *dns.Msg, size int, _ net.Addr) *dns.Msg {
				if size+headers4 > most {
					return nil
				}
				return new(dns.Msg).SetRcode(q, dns.RcodeRefused)
			})
			got, err := (Probe{}).PathMTU(t.Context(), at)
			if got != want || (want == 0) != errors.Is(err, ErrSilent) {
				t.Errorf("%d, %v; want %d", got, err, want)
			}
		})
	}
}
