package peerconfig

import (
	"bytes"
	"image/png"
	"net/netip"
	"strings"
	"testing"

	"github.com/warrenedge/warren/shared/wgkey"
)

func example(t *testing.T) Config {
	t.Helper()
	private, err := wgkey.PrivateFromBytes(bytes.Repeat([]byte{8}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Site: "router", Private: private, Public: private.Public(), Address: netip.MustParseAddr("fd57:6172:7265:3::1"),
		Tunnels: []Tunnel{
			{"n1", wgkey.Public{1}, "edge.example.org:51820", netip.MustParseAddr("fd57:6172:7265:1::1")},
			{"n2", wgkey.Public{2}, "[2001:db8::2]:51820", netip.MustParseAddr("fd57:6172:7265:1::2")},
		},
	}
}

const want = `# site router
[Interface]
PrivateKey = CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICEg=
Address = fd57:6172:7265:3::1/128
MTU = 1280

# node n1
[Peer]
PublicKey = AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
Endpoint = edge.example.org:51820
AllowedIPs = fd57:6172:7265:1::1/128
PersistentKeepalive = 15

# node n2
[Peer]
PublicKey = AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
Endpoint = [2001:db8::2]:51820
AllowedIPs = fd57:6172:7265:1::2/128
PersistentKeepalive = 15
`

func TestText(t *testing.T) {
	c := example(t)
	if got := c.Text(); got != want {
		t.Errorf("%s", got)
	}
	c.Private = wgkey.Private{}
	remark := "# PrivateKey = the one that belongs to public key " + c.Public.String() + "\n"
	if got := c.Text(); got != strings.Replace(want, "PrivateKey = CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICEg=\n", remark, 1) {
		t.Errorf("without the private key:\n%s", got)
	}
}

// Of eight tunnels, as many as a site has, there is still a code.
func TestQR(t *testing.T) {
	c := example(t)
	for range 3 {
		c.Tunnels = append(c.Tunnels, c.Tunnels...)
	}
	c.Tunnels = c.Tunnels[:8]
	text := c.Text()
	b, err := PNG(text)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil || img.Bounds().Dx() < 100 {
		t.Errorf("%v, %v", img, err)
	}
	term, err := Terminal(text)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(term, "\n"), "\n")
	code, err := code(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != (code.Size+8+1)/2 {
		t.Errorf("%d lines of a code of %d modules", len(lines), code.Size)
	}
	// Each character is what its two modules are.
	for i, l := range lines {
		row := []rune(strings.TrimSuffix(strings.TrimPrefix(l, "\x1b[30;107m"), "\x1b[0m"))
		for x, r := range row {
			above, below := r == '█' || r == '▀', r == '█' || r == '▄'
			if above != code.Black(x-4, 2*i-4) || below != code.Black(x-4, 2*i-3) {
				t.Fatalf("line %d, character %d: %q", i, x, r)
			}
		}
	}
	if _, err := PNG(strings.Repeat("A", 4000)); err == nil {
		t.Error("a code of 4000 bytes")
	}
}
