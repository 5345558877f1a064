package rest

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// What an issuer may still be asked for is shown with what renewals have for themselves, and when more comes.
func TestIssuerBudget(t *testing.T) {
	w := newWorld(t)
	var issuer admin.Issuer
	w.must(201, "POST", "/api/v1/issuers", `{"name":"le",`+directory+`,"limits":{"new_orders":30}}`).into(t, &issuer)
	id, err := model.IssuerID{}.Parse(issuer.ID)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	_, err = w.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		_, err := tx.LockBuckets(t.Context(), id, []model.Bucket{
			{BucketKey: model.BucketKey{Kind: model.BudgetNewOrders}, Tokens: 12, At: now},
			{BucketKey: model.BucketKey{Kind: model.BudgetDomain, Key: "a.example"}, Tokens: 49, At: now},
			{BucketKey: model.BucketKey{Kind: model.BudgetDomain, Key: "b.example"}, Tokens: 3, At: now},
			{BucketKey: model.BucketKey{Kind: model.BudgetDomain, Key: "full.example"}, Tokens: 50, At: now},
		}, now)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Items []admin.Budget }
	w.must(200, "GET", "/api/v1/issuers/le/budget", "").into(t, &got)
	type line struct {
		kind, key                            string
		limit, used, reserved, left, leftNew int
		more                                 bool
	}
	var lines []line
	for _, b := range got.Items {
		lines = append(lines, line{b.Kind, b.Key, b.Limit, b.Used, b.Reserved, b.Left, b.LeftNew, b.More != nil && b.More.After(now)})
	}
	for i, want := range []line{
		{"new_orders", "", 30, 18, 10, 12, 2, true},
		{"domain", "b.example", 50, 47, 16, 3, 0, true},
		{"domain", "a.example", 50, 1, 16, 49, 33, true},
		{"set", "", 5, 0, 1, 5, 4, false},
		{"failed_validations", "", 5, 0, 1, 5, 4, false},
	} {
		if i >= len(lines) || lines[i] != want {
			t.Errorf("line %d of %+v; want %+v", i, lines, want)
		}
	}
	w.must(409, "GET", "/api/v1/issuers/internal/budget", "")
	w.must(404, "GET", "/api/v1/issuers/nobody/budget", "")
}
