package strict

import (
	"bytes"
	"strings"
)

const (
	// maxHead is above the cap at which net/http answers 431, so that it is the one to answer.
	maxHead           = MaxHeaderBytes + 8<<10
	maxChunkLine      = 16 + 256 // RFC 9112 §7.1.1 asks for a limit on extensions
	maxTrailers       = 8 << 10
	maxContentLength  = 18 // digits
	maxChunkSizeWidth = 15 // hexadecimal digits
)

// scanState is what the next byte belongs to.
type scanState int

const (
	inRequestLine scanState = iota
	inHeader
	inBody
	inChunkLine
	inChunk
	inChunkEnd
	inTrailer
)

// Scanner follows a stream of HTTP/1 requests byte by byte, with the grammar of RFC 9112 and none of its leniencies:
// net/http alone lets through a second Content-Length, one beside Transfer-Encoding, folded lines and bare LF
// (research/reliability-security.md §0). The zero value is at the start of a connection.
type Scanner struct {
	state scanState
	line  []byte // the line so far, without the CRLF
	cr    bool   // a CR was the last byte
	size  int    // bytes of this head or trailer section so far
	left  uint64 // bytes of body or chunk still to come
	heads int64  // that were whole and good, on this connection

	// Of the head so far:
	http10, chunked, hasLength bool
	hosts                      int
	length                     uint64
}

// Write follows p and returns how much of it is good: less than all means that the byte behind it
// makes the message ambiguous.
func (s *Scanner) Write(p []byte) (good int) {
	for i := 0; i < len(p); {
		switch s.state {
		case inBody, inChunk:
			n := min(s.left, uint64(len(p)-i))
			s.left -= n
			i += int(n)
			if s.left == 0 {
				s.bodyEnd()
			}
			continue
		}
		if !s.byte(p[i]) {
			return i
		}
		i++
	}
	return len(p)
}

// Heads is how many heads were whole and good so far.
func (s *Scanner) Heads() int64 { return s.heads }

// InHead reports whether the next byte belongs to a head.
func (s *Scanner) InHead() bool { return s.state == inRequestLine || s.state == inHeader }

func (s *Scanner) bodyEnd() {
	if s.state == inChunk {
		s.state = inChunkEnd
		return
	}
	s.reset()
}

func (s *Scanner) reset() {
	*s = Scanner{line: s.line[:0], heads: s.heads}
}

// byte takes one byte of a line.
func (s *Scanner) byte(c byte) bool {
	s.size++
	switch {
	case s.cr:
		if c != '\n' {
			return false
		}
		s.cr = false
		ok := s.lineEnd()
		s.line = s.line[:0]
		return ok
	case c == '\r':
		s.cr = true
		return true
	case c == '\n', c < ' ' && c != '\t', c == 0x7f:
		return false
	case s.state == inChunkEnd: // only CRLF stands behind a chunk
		return false
	case s.size > s.cap():
		return false
	}
	s.line = append(s.line, c)
	return true
}

func (s *Scanner) cap() int {
	switch s.state {
	case inChunkLine:
		return maxChunkLine
	case inTrailer:
		return maxTrailers
	default:
		return maxHead
	}
}

// lineEnd takes a whole line.
func (s *Scanner) lineEnd() bool {
	switch s.state {
	case inRequestLine:
		s.state = inHeader
		return s.requestLine()
	case inHeader:
		if len(s.line) == 0 {
			return s.headEnd()
		}
		return s.field(false)
	case inChunkLine:
		return s.chunkLine()
	case inChunkEnd:
		s.state, s.size = inChunkLine, 0
		return len(s.line) == 0
	case inTrailer:
		if len(s.line) == 0 {
			s.reset()
			return true
		}
		return s.field(true)
	}
	return false
}

// requestLine is RFC 9112 §3: exactly two single spaces.
func (s *Scanner) requestLine() bool {
	method, rest, ok := bytes.Cut(s.line, []byte(" "))
	if !ok || !isToken(method) {
		return false
	}
	target, version, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(target) == 0 || bytes.IndexByte(target, '\t') >= 0 {
		return false
	}
	s.http10 = string(version) == "HTTP/1.0"
	return s.http10 || string(version) == "HTTP/1.1"
}

// field is RFC 9112 §5: no folded line, no space before the colon.
func (s *Scanner) field(trailer bool) bool {
	name, value, ok := bytes.Cut(s.line, []byte(":"))
	if !ok || !isToken(name) {
		return false
	}
	value = bytes.Trim(value, " \t")
	switch strings.ReplaceAll(strings.ToLower(string(name)), "_", "-") {
	case "host":
		s.hosts++
		return !trailer && s.hosts == 1
	case "content-length":
		if trailer || s.hasLength || len(value) == 0 || len(value) > maxContentLength || name[len("content")] != '-' {
			return false
		}
		s.hasLength = true
		for _, c := range value {
			if c < '0' || c > '9' {
				return false
			}
			s.length = s.length*10 + uint64(c-'0')
		}
	case "transfer-encoding":
		if trailer || s.chunked || !strings.EqualFold(string(value), "chunked") || name[len("transfer")] != '-' {
			return false
		}
		s.chunked = true
	}
	return true
}

// headEnd decides how the message goes on (RFC 9112 §6.3).
func (s *Scanner) headEnd() bool {
	switch {
	case s.chunked && (s.hasLength || s.http10):
		return false
	case s.hosts == 0 && !s.http10:
		return false
	}
	s.heads++
	switch {
	case s.chunked:
		s.state, s.size = inChunkLine, 0
	case s.length > 0:
		s.state, s.left = inBody, s.length
	default:
		s.reset()
	}
	return true
}

// chunkLine is RFC 9112 §7.1: a size, then nothing or an extension.
func (s *Scanner) chunkLine() bool {
	digits, _, _ := bytes.Cut(s.line, []byte(";"))
	if len(digits) == 0 || len(digits) > maxChunkSizeWidth {
		return false
	}
	s.left = 0
	for _, c := range digits {
		if !isHex(c) {
			return false
		}
		s.left = s.left<<4 | uint64(unhex(c))
	}
	s.state = inChunk
	if s.left == 0 {
		s.state, s.size = inTrailer, 0
	}
	return true
}

// isToken is RFC 9110 §5.6.2.
func isToken(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) < 0 {
			return false
		}
	}
	return len(b) > 0
}
