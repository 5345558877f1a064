// Package stricttest holds the requests with more than one reading that each part of the strict path is tested with.
package stricttest

import "strings"

const ok, bad = 200, 400

// Wire are requests on the wire of an HTTP/1 connection, and how many of them may reach a
// backend; statuses are all answers in order. An "END" request is sent behind each: that it is
// answered too means that the connection was still good.
var Wire = []struct {
	Name     string
	Raw      string
	Statuses []int
	Reach    int
	Sees     string // in the head that the backend gets first
}{
	// Framing. Stock net/http lets the marked ones (*) through.
	{"plain", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{ok, ok}, 2, "GET / HTTP/1.1\r\nHost: a.example\r\n"},
	{"pipelined", "GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{ok, ok, ok}, 3, "GET /1 "},
	{"content-length", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc", []int{ok, ok}, 2, "Content-Length: 3\r\n"},
	{"chunked", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", []int{ok, ok}, 2, "Transfer-Encoding: chunked\r\n"},
	{"TE then CL *", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"CL then TE *", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"two equal CL *", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", []int{bad}, 0, ""},
	{"two different CL", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", []int{bad}, 0, ""},
	{"CL list", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3, 3\r\n\r\nabc", []int{bad}, 0, ""},
	{"CL with plus", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: +3\r\n\r\nabc", []int{bad}, 0, ""},
	{"CL negative", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: -1\r\n\r\nabc", []int{bad}, 0, ""},
	{"CL empty", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: \r\n\r\n", []int{bad}, 0, ""},
	{"CL too large", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 18446744073709551619\r\n\r\nabc", []int{bad}, 0, ""},
	{"Content_Length", "POST / HTTP/1.1\r\nHost: a.example\r\nContent_Length: 3\r\n\r\nabc", []int{bad}, 0, ""},
	{"HTTP/1.0 with TE *", "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"TE xchunked", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"TE list", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"TE twice", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"TE with a space before the colon", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"Transfer_Encoding", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"chunk size 0x3", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"chunk ended by LF", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", []int{bad}, 0, ""},
	{"chunk longer than its size", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"chunk size overflow", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"chunk extension of 300 bytes", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("x", 300) + "\r\nabc\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"Host in a trailer", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTrailer: Host\r\n\r\n0\r\nHost: b.example\r\n\r\n", []int{bad}, 0, ""},
	{"folded line *", "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\n X-Forwarded-For: 192.0.2.1\r\n\r\n", []int{bad}, 0, ""},
	{"bare LF *", "GET / HTTP/1.1\nHost: a.example\n\n", []int{bad}, 0, ""},
	{"one bare LF *", "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: 1\nX-B: 2\r\n\r\n", []int{bad}, 0, ""},
	{"bare CR", "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: 1\rX-B: 2\r\n\r\n", []int{bad}, 0, ""},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: \x00\r\n\r\n", []int{bad}, 0, ""},
	{"empty field name", "GET / HTTP/1.1\r\nHost: a.example\r\n: 1\r\n\r\n", []int{bad}, 0, ""},
	{"empty line first", "\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"HTTP/0.9", "GET /\r\n\r\n", []int{bad}, 0, ""},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"second of two is ambiguous", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\nPOST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", []int{ok, bad}, 1, "GET / "},

	// Methods, targets, hosts.
	{"CONNECT *", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", []int{405}, 0, ""},
	{"TRACE *", "TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{405}, 0, ""},
	{"PRI *", "PRI * HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{405}, 0, ""},
	{"HTTP/2 preface *", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{bad}, 0, ""},
	{"fragment *", "GET /a#b HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"absolute form", "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"absolute form, other host", "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"asterisk form", "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"no Host", "GET / HTTP/1.1\r\n\r\n", []int{bad}, 0, ""},
	{"no Host, HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", []int{bad}, 0, ""},
	{"empty Host *", "GET / HTTP/1.1\r\nHost: \r\n\r\n", []int{bad}, 0, ""},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", []int{bad}, 0, ""},
	{"Host is an address", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", []int{bad}, 0, ""},
	{"Host with user", "GET / HTTP/1.1\r\nHost: x@a.example\r\n\r\n", []int{bad}, 0, ""},
	{"Host with a bad port", "GET / HTTP/1.1\r\nHost: a.example:0x1bb\r\n\r\n", []int{bad}, 0, ""},
	{"Host in upper case *", "GET / HTTP/1.1\r\nHost: A.EXAMPLE\r\n\r\n", []int{ok, ok}, 2, "\r\nHost: a.example\r\n"},
	{"Host with a trailing dot *", "GET / HTTP/1.1\r\nHost: a.example.:443\r\n\r\n", []int{ok, ok}, 2, "\r\nHost: a.example\r\n"},
	{"Host of another route *", "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n", []int{421}, 0, ""},
	{"Host of no route", "GET / HTTP/1.1\r\nHost: nowhere.example\r\n\r\n", []int{421}, 0, ""},

	// Sizes and upgrades.
	{"10,000 fields *", "GET / HTTP/1.1\r\nHost: a.example\r\n" + strings.Repeat("A: b\r\n", 10_000) + "\r\n", []int{431}, 0, ""},
	{"101 fields *", "GET / HTTP/1.1\r\nHost: a.example\r\n" + strings.Repeat("A: b\r\n", 101) + "\r\n", []int{431}, 0, ""},
	{"URI of 9 KiB", "GET /" + strings.Repeat("a", 9<<10) + " HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{414}, 0, ""},
	{"upgrade to h2c *", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", []int{bad}, 0, ""},
	{"upgrade to websocket and h2c", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", []int{bad}, 0, ""},
	{"upgrade with a body", "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx", []int{bad}, 0, ""},
	{"unknown expectation", "GET / HTTP/1.1\r\nHost: a.example\r\nExpect: miracles\r\n\r\n", []int{417}, 0, ""},
}

// AmbiguousTargets are refused with 400, over both protocols.
var AmbiguousTargets = []string{
	"/a%2fb", "/a%2Fb", "/a/..%2fb", "/a%5cb", "/a\\b", "/%5C..", "/a/../b", "/..", "/a/..", "/./a", "/a/.", "/a/./b",
	"/%2e%2e/a", "/%2E./a", "/.%2e", "/%2e", "/a/..;/b", "/a/..;x=1/b", "/.;/a", "/a/..%3b/b", "/%2e%2e;/a", "/a%00", "/a%0d%0aX:1", "/a%0a", "/a%09", "/a%7f",
	"//", "//a.example/b", "/a//b", "/a/b//", "/a#b", "/#", "/a?b#c",
}
