package admin

import (
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Whoever knows of an alert first is shown until it is over, or until that is taken back; the audit log has both.
func TestAcknowledgedUntilItIsOver(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	rule, _, err := o.a.AlertRules.Create(ctx, o.root, DefaultName, "sites", AlertRuleSpec{Kind: model.AlertSiteDown})
	if err != nil {
		t.Fatal(err)
	}
	id, err := model.AlertRuleID{}.Parse(rule.ID)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	var home, far *model.Alert
	o.exec(func(tx *store.Tx) error {
		r, err := tx.GetAlertRule(ctx, id)
		if err != nil {
			return err
		}
		home = &model.Alert{Rule: r.ID, Org: r.Org, Object: "site_1", Name: "home", Since: now, Fired: now, Told: true}
		far = &model.Alert{Rule: r.ID, Org: r.Org, Object: "site_2", Name: "far", Since: now.Add(time.Second), Fired: now}
		if err := tx.PutAlert(ctx, home); err != nil {
			return err
		}
		return tx.PutAlert(ctx, far)
	})
	ann, _ := o.user("ann@example.org", "admin")
	bob, _ := o.user("bob@example.org", "admin")
	eve, _ := o.user("eve@example.org", "viewer")
	known := func() (by []string) {
		all, err := o.a.Alerts(ctx, o.root, DefaultName)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range all {
			by = append(by, v.Name+" "+v.AcknowledgedBy)
			if (v.Acknowledged == nil) != (v.AcknowledgedBy == "") {
				t.Errorf("%+v", v)
			}
		}
		return by
	}
	if _, err := o.a.AcknowledgeAlerts(ctx, eve, DefaultName, "sites", "", false); fault.Of(err) != fault.Denied {
		t.Errorf("who may only look: %v", err)
	}
	if got, err := o.a.AcknowledgeAlerts(ctx, ann, DefaultName, "sites", "home", false); err != nil || len(got) != 1 || got[0].AcknowledgedBy != "ann@example.org" {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := o.a.AcknowledgeAlerts(ctx, bob, DefaultName, "sites", "", false); err != nil {
		t.Fatal(err)
	}
	if got, want := known(), []string{"home ann@example.org", "far bob@example.org"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	o.exec(func(tx *store.Tx) error { // the evaluator has read it before
		far.Reason = "still"
		return tx.PutAlert(ctx, far)
	})
	if _, err := o.a.AcknowledgeAlerts(ctx, bob, DefaultName, "sites", "site_1", true); err != nil {
		t.Fatal(err)
	}
	if got, want := known(), []string{"home ", "far bob@example.org"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	o.exec(func(tx *store.Tx) error { // it is over, and begins again
		if err := tx.DeleteAlert(ctx, far); err != nil {
			return err
		}
		return tx.PutAlert(ctx, far)
	})
	if got, want := known(), []string{"home ", "far "}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := o.a.AcknowledgeAlerts(ctx, ann, DefaultName, "sites", "nothing", false); fault.Of(err) != fault.NotFound {
		t.Errorf("an alert that is not there: %v", err)
	}
	log, err := o.a.Audit(ctx, o.root, DefaultName, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var did []string
	for _, e := range log {
		if e.Object == rule.ID && e.ActorName != "bootstrap" {
			did = append(did, e.ActorName+" "+e.Action+" "+e.ObjectName)
		}
	}
	if want := []string{"ann@example.org alert-rule.acknowledge sites home", "bob@example.org alert-rule.acknowledge sites far", "bob@example.org alert-rule.unacknowledge sites home"}; !slices.Equal(did, want) {
		t.Errorf("%q, want %q", did, want)
	}
}
