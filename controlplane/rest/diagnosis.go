package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
)

// Diagnosis is what a replica found when it looked at what it stands on.
type Diagnosis struct {
	Name  string `json:"name"`
	State string `json:"state" enum:"ok,warning,failed,skipped"`
	Cause string `json:"cause,omitempty" doc:"What is wrong"`
	Fix   string `json:"fix,omitempty" doc:"What to do"`
}

type diagnosisView struct {
	Time    time.Time   `json:"time" doc:"The replica's clock"`
	Replica string      `json:"replica"`
	Items   []Diagnosis `json:"items"`
}

// diagnosis has the replica that is asked look at what it stands on: database, schema, keys, cache, mail, disk.
func (a *API) diagnosis() {
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/diagnosis", "get-diagnosis", "What the replica that answers stands on, and whether it works; takes up to five seconds", "state", access.ClusterManage, 200),
		func(ctx context.Context, _ *struct{}) (*answer[diagnosisView], error) {
			if err := caller(ctx).Check(access.ClusterManage); err != nil {
				return nil, a.failed(ctx, err)
			}
			const limit = 5 * time.Second
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			v := diagnosisView{Time: time.Now().UTC(), Replica: a.Presence.Replica(), Items: []Diagnosis{}}
			if a.Diagnose != nil {
				v.Items = a.Diagnose(ctx)
			}
			return &answer[diagnosisView]{Status: http.StatusOK, Body: v}, nil
		})
}
