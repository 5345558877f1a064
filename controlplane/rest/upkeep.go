package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
)

// upkeep is what keeps a cluster of use to people: that mail arrives, and that there is something to begin again from.
func (a *API) upkeep() {
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/mail", "get-mail", "How the replica that answers sends mail", "mail", access.ClusterManage, 200),
		func(ctx context.Context, _ *struct{}) (*answer[admin.Mail], error) {
			v, err := a.Admin.Mail(ctx, caller(ctx))
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/mail/test", "test-mail", "Send a message to somebody now, and say what the mail server said; takes up to twenty seconds", "mail", access.ClusterManage, 200),
		func(ctx context.Context, in *struct{ Body admin.MailTestSpec }) (*answer[admin.MailTest], error) {
			v, err := a.Admin.TestMail(ctx, caller(ctx), in.Body)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/backups", "get-backups", "What the database knows of how it is kept safe", "backups", access.ClusterManage, 200),
		func(ctx context.Context, _ *struct{}) (*answer[admin.Backups], error) {
			v, err := a.Admin.Backups(ctx, caller(ctx))
			return told(ctx, a, v, err)
		})
}
