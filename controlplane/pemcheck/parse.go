package pemcheck

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
)

// block is a PEM block with its place.
type block struct {
	*pem.Block
	number, line int
}

func (b block) String() string { return fmt.Sprintf("block %d (line %d)", b.number, b.line) }

// cert is a certificate with its place.
type cert struct {
	*x509.Certificate
	block block
}

func (c *cert) String() string {
	if c.block.number == 0 {
		return fmt.Sprintf("the certificate of %.200q", c.Subject)
	}
	return c.block.String()
}

var begin = []byte("-----BEGIN")

// blocks splits PEM. pem.Decode passes over blocks that it can't read; here they are errors. Text outside of
// blocks is nobody's business.
func blocks(field string, b []byte, most int) ([]block, error) {
	if len(b) > most {
		return nil, fault.Field(field, "it has %d bytes; %d are the most", len(b), most)
	}
	var out []block
	line := 1
	for {
		at := bytes.Index(b, begin)
		if at < 0 {
			break
		}
		line += bytes.Count(b[:at], []byte("\n"))
		b = b[at:]
		p, rest := pem.Decode(b)
		if p == nil || bytes.Count(b[:len(b)-len(rest)], begin) != 1 {
			return nil, fault.Field(field, "block %d (line %d) is broken: base64 between a BEGIN and an END line of the same kind is wanted", len(out)+1, line)
		}
		out = append(out, block{p, len(out) + 1, line})
		line += bytes.Count(b[:len(b)-len(rest)], []byte("\n"))
		b = rest
	}
	if len(out) == 0 {
		return nil, fault.Field(field, "it holds no PEM block (-----BEGIN …)")
	}
	return out, nil
}

func parseChain(b []byte) ([]*cert, error) {
	all, err := blocks("chain", b, maxChainPEM)
	if err != nil {
		return nil, err
	}
	var certs []*cert
	for _, b := range all {
		if strings.HasSuffix(b.Type, "PRIVATE KEY") {
			return nil, fault.Field("chain", "%s is a private key: it belongs in the field key, where it is kept sealed", b)
		}
		if b.Type != "CERTIFICATE" {
			return nil, fault.Field("chain", "%s is a %.50q, not a certificate", b, b.Type)
		}
		if len(certs) == maxCerts {
			return nil, fault.Field("chain", "it has more than %d certificates", maxCerts)
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fault.Field("chain", "%s: %v", b, err)
		}
		certs = append(certs, &cert{c, b})
	}
	return certs, nil
}

func parseKey(b []byte) (crypto.Signer, error) {
	all, err := blocks("key", b, maxKeyPEM)
	if err != nil {
		return nil, err
	}
	var found *block
	for i := range all {
		switch b := &all[i]; {
		case b.Type == "EC PARAMETERS": // openssl ecparam writes them before the key
		case b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, fault.Field("key", "%s is encrypted: upload what openssl pkey makes of it", b)
		case !strings.HasSuffix(b.Type, "PRIVATE KEY"):
			return nil, fault.Field("key", "%s is a %.50q, not a private key", b, b.Type)
		case found != nil:
			return nil, fault.Field("key", "%s is a second private key", b)
		default:
			found = b
		}
	}
	if found == nil {
		return nil, fault.Field("key", "it holds no private key")
	}
	if len(found.Bytes) > maxKeyDER {
		return nil, fault.Field("key", "%s has %d bytes; RSA of %d bits is the most", found, len(found.Bytes), maxRSA)
	}
	return parseKeyBlock(found)
}

func parseKeyBlock(b *block) (crypto.Signer, error) {
	var key any
	var err error
	switch b.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	default:
		return nil, fault.Field("key", "%s is a %.50q: want a PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY", b, b.Type)
	}
	if err != nil { // the parser's words hold nothing of the key
		return nil, fault.Field("key", "%s: %v", b, err)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fault.Field("key", "%s is a %T, which can't sign", b, key)
}
