package model

import (
	"crypto/x509"
	"encoding/pem"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/hostname"
)

// Bounds of what is said about the way of a request.
const (
	MaxFields         = 64   // changes of requests, and of answers
	MaxFieldValue     = 4096 // bytes
	MaxTitle          = 120  // characters of a maintenance page's heading
	MaxMessage        = 2000 // characters of its text
	MaxAuthoritiesPEM = 65536
)

// Delivery is how requests of an HTTP service are changed on their way to a target, and answers on their way back.
type Delivery struct {
	Host     string // that targets are sent, with or without a port; "": the request's
	Request  Fields
	Response Fields
}

// Fields are changes of header fields, names in their canonical form: first some are removed, then some set.
type Fields struct {
	Remove []string // sorted, different
	Set    []Field  // sorted by name, names different
}

// Field is a header field with its one value.
type Field struct{ Name, Value string }

// Maintenance is a page in place of an HTTP service.
type Maintenance struct {
	Always  bool   // else only while no target can answer
	Title   string // "": a word of our own
	Message string // paragraphs by line
}

// Schemes of targets of HTTP services.
const (
	SchemeHTTP  = "http"
	SchemeHTTPS = "https"
	SchemeH2C   = "h2c"
)

// Upstream is how a target of an HTTP service is spoken to. The zero Upstream is HTTP.
type Upstream struct {
	Scheme         string // "" is SchemeHTTP's one form
	ServerName     string // of https: canonical; "": the service's
	AuthoritiesPEM string // of https: who may have signed the target's certificate; "": it is not verified
	StripPrefix    bool   // the target's path prefix is cut off
}

// kept are fields that are the node's own, or the connection's: what would be said of them here would hold for nothing, or
// break what a message is.
var kept = map[string]string{
	"Connection": "of the connection", "Keep-Alive": "of the connection", "Proxy-Connection": "of the connection", "Te": "of the connection",
	"Trailer": "of the connection", "Transfer-Encoding": "of the connection", "Upgrade": "of the connection", "Content-Length": "of the connection",
	"Host": `changed by "host"`, "X-Forwarded-For": "the node's to set", "X-Forwarded-Proto": "the node's to set", "X-Forwarded-Host": "the node's to set",
	"X-Request-Id": "the node's to set",
}

// NewFields brings changes of header fields into their one form. field is the name of what is written.
func NewFields(field string, remove []string, set []Field) (out Fields, err error) {
	if len(remove)+len(set) > MaxFields {
		return out, fault.Field(field, "%d changes, want %d at most", len(remove)+len(set), MaxFields)
	}
	for i, name := range remove {
		if name, err = fieldName(field+".remove["+strconv.Itoa(i)+"]", name); err != nil {
			return out, err
		}
		out.Remove = append(out.Remove, name)
	}
	seen := map[string]bool{}
	for i, f := range set {
		at := field + ".set[" + strconv.Itoa(i) + "]"
		if f.Name, err = fieldName(at+".name", f.Name); err != nil {
			return out, err
		}
		switch {
		case seen[f.Name]:
			return out, fault.Field(at+".name", "%s is set twice", f.Name)
		case len(f.Value) > MaxFieldValue:
			return out, fault.Field(at+".value", "%d bytes, want %d at most", len(f.Value), MaxFieldValue)
		case !httpguts.ValidHeaderFieldValue(f.Value):
			return out, fault.Field(at+".value", "not a value of a header field (RFC 9110 §5.5)")
		}
		seen[f.Name] = true
		out.Set = append(out.Set, f)
	}
	slices.Sort(out.Remove)
	out.Remove = slices.Compact(out.Remove)
	slices.SortFunc(out.Set, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func fieldName(field, name string) (string, error) {
	if !httpguts.ValidHeaderFieldName(name) {
		return "", fault.Field(field, "%q is no name of a header field (RFC 9110 §5.1)", name)
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	if why := kept[name]; why != "" {
		return "", fault.Field(field, "%s is %s", name, why)
	}
	return name, nil
}

// Validate reports what is wrong, as a fault that names the field as a service has it.
func (d *Delivery) Validate() error {
	const field = "delivery"
	if d.Host != "" {
		host, port, ok := strings.Cut(d.Host, ":")
		n, err := strconv.Atoi(port)
		if c, herr := hostname.Canonical(host); herr != nil || c != host || ok && (err != nil || n < 1 || n > 65535) {
			return fault.Field(field+".host", "%q, want a name in lower case, or name:port", d.Host)
		}
	}
	for name, f := range map[string]*Fields{".request": &d.Request, ".response": &d.Response} {
		same, err := NewFields(field+name, f.Remove, f.Set)
		if err != nil {
			return err
		}
		if !slices.Equal(same.Remove, f.Remove) || !slices.Equal(same.Set, f.Set) {
			return fault.Field(field+name, "not in its one form")
		}
	}
	return nil
}

// Validate reports what is wrong, as a fault that names the field as a service has it.
func (m *Maintenance) Validate() error {
	switch {
	case len([]rune(m.Title)) > MaxTitle:
		return fault.Field("maintenance.title", "%d characters, want %d at most", len([]rune(m.Title)), MaxTitle)
	case len([]rune(m.Message)) > MaxMessage:
		return fault.Field("maintenance.message", "%d characters, want %d at most", len([]rune(m.Message)), MaxMessage)
	}
	return nil
}

// validate reports what is wrong with how a target is spoken to.
func (u *Upstream) validate() error {
	switch u.Scheme {
	case "", SchemeHTTPS, SchemeH2C:
	default:
		return fault.Field("scheme", "want %q, %q or %q", SchemeHTTP, SchemeHTTPS, SchemeH2C)
	}
	if u.Scheme != SchemeHTTPS {
		switch {
		case u.ServerName != "":
			return fault.Field("server_name", "of %s targets only", SchemeHTTPS)
		case u.AuthoritiesPEM != "":
			return fault.Field("authorities_pem", "of %s targets only", SchemeHTTPS)
		}
		return nil
	}
	if u.ServerName != "" {
		if err := checkCanonical("server_name", u.ServerName, hostname.Canonical); err != nil {
			return err
		}
	}
	return checkAuthorities(u.AuthoritiesPEM)
}

// checkAuthorities reads certificates in PEM, every block of them: a certificate that is passed over in silence verifies nothing.
func checkAuthorities(text string) error {
	if len(text) > MaxAuthoritiesPEM {
		return fault.Field("authorities_pem", "%d bytes, want %d at most", len(text), MaxAuthoritiesPEM)
	}
	rest := []byte(text)
	for n := 1; len(strings.TrimSpace(string(rest))) > 0; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return fault.Field("authorities_pem", "block %d can't be read", n)
		}
		if block.Type != "CERTIFICATE" {
			return fault.Field("authorities_pem", "block %d is a %s, want CERTIFICATE", n, block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fault.Field("authorities_pem", "block %d: %v", n, err)
		}
	}
	return nil
}

// TargetName is the name that the handshake with a target of the service asks for: the target's, else that of the host that
// it is told, else the service's; "" of one with a wildcard.
func (s *Service) TargetName(u Upstream) string {
	name := u.ServerName
	if name == "" && s.Delivery != nil {
		name, _, _ = strings.Cut(s.Delivery.Host, ":")
	}
	if name == "" && !hostname.IsWildcard(s.Hostname) {
		name = s.Hostname
	}
	return name
}
