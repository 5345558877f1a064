package admin

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// SearchAudit lists entries of the audit log, the newest first: of an organization, or, without one, of everything.
func (a *Admin) SearchAudit(ctx context.Context, p access.Principal, org string, f audit.Filter, limit int) (out []*audit.Entry, err error) {
	if f.Result != "" && f.Result != audit.Done && f.Result != audit.Refused {
		return nil, fault.Field("result", "%q, want %s or %s", f.Result, audit.Done, audit.Refused)
	}
	for _, t := range []struct{ field, text string }{{"who", f.Who}, {"action", f.Action}, {"object", f.Object}} {
		if strings.ContainsRune(t.text, 0) || strings.ToValidUTF8(t.text, "") != t.text {
			return nil, fault.Field(t.field, "want UTF-8 without NUL")
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return nil, fault.Field("until", "not after since")
	}
	err = a.read(ctx, p, func(c *call) error {
		if err := c.auditOf(org); err != nil {
			return err
		}
		out, err = c.tx.SearchAudit(c, c.org, f, limit)
		return err
	})
	return out, err
}

// auditOf checks that the caller may see the audit log of an organization, or, without one, of everything.
func (c *call) auditOf(org string) error {
	switch {
	case org != "":
		return c.organization(org, access.AuditRead)
	case !c.p.Can(access.AuditRead, model.OrgID{}):
		return access.Refused(access.AuditRead)
	}
	return nil
}

// AuditState is what a check of the whole audit log has come to.
type AuditState struct {
	Entries  uint64     `json:"entries" doc:"That follow each other, from the first one on"`
	Anchors  int        `json:"anchors" doc:"Signed heads that the log agrees with"`
	Anchored *time.Time `json:"anchored_at,omitempty" doc:"When the newest head was signed"`
	Broken   string     `json:"broken,omitempty" doc:"What is wrong behind them; empty: nothing"`
}

const (
	auditBatch = 2000
	maxAnchors = 100_000
)

// VerifyAudit checks that each entry of the audit log is the one that was written, that none is missing, and that the log
// agrees with all anchors, whose signatures are the cluster's.
func (a *Admin) VerifyAudit(ctx context.Context, p access.Principal) (out AuditState, err error) {
	anchors, err := a.AuditAnchors(ctx, p, 0, maxAnchors)
	if err != nil {
		return out, err
	}
	var v audit.Verifier
	if out.Broken, err = a.expectAnchors(ctx, &v, anchors); err != nil {
		return out, err
	}
	if len(anchors) > 0 {
		out.Anchored = when(anchors[len(anchors)-1].At)
	}
	for more := out.Broken == ""; more; {
		list, err := a.Audit(ctx, p, "", out.Entries, auditBatch)
		if err != nil {
			return out, err
		}
		for _, e := range list {
			if err := v.Next(e); err != nil {
				out.Broken = err.Error()
				break
			}
			out.Entries, _, out.Anchors = v.Head()
		}
		more = len(list) == auditBatch && out.Broken == ""
	}
	if out.Broken == "" {
		if err := v.Finish(); err != nil {
			out.Broken = err.Error()
		}
	}
	return out, nil
}

// expectAnchors makes a verifier expect anchors; it says what is wrong with them.
func (a *Admin) expectAnchors(ctx context.Context, v *audit.Verifier, anchors []*audit.Anchor) (broken string, err error) {
	var certPEM []byte
	if err := a.store.View(ctx, func(tx *store.Tx) error {
		certPEM, _, err = tx.GetAuthority(ctx, string(authority.Identity))
		return err
	}); err != nil {
		return "", err
	}
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return "", fault.New(fault.Internal, "the identity authority has no certificate")
	}
	signer, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	for _, n := range anchors {
		err := n.Verify(signer)
		if err == nil {
			err = v.Expect(n.Head)
		}
		if err != nil {
			return err.Error(), nil
		}
	}
	return "", nil
}
