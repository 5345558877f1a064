package orders

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

func TestNext(t *testing.T) {
	for _, c := range []struct {
		o    model.Order
		want Step
	}{
		{model.Order{State: model.OrderPlanned}, Place},
		{model.Order{State: model.OrderPlanned, Intent: time.Unix(1, 0)}, Recover},
		{model.Order{State: model.OrderOrdered}, Challenge},
		{model.Order{State: model.OrderChallengesWritten}, AwaitNodes},
		{model.Order{State: model.OrderNodesAcked}, Initiate},
		{model.Order{State: model.OrderInitiated}, Validate},
		{model.Order{State: model.OrderReady}, MakeKey},
		{model.Order{State: model.OrderReady, CSR: []byte("x")}, Finalize},
		{model.Order{State: model.OrderFinalized, CSR: []byte("x")}, Collect},
		{model.Order{State: model.OrderDownloaded}, Publish},
		{model.Order{State: model.OrderPublished}, AwaitApply},
		{model.Order{State: model.OrderAcked}, Nothing},
		{model.Order{State: model.OrderFailed}, Nothing},
	} {
		if got := Next(&c.o); got != c.want {
			t.Errorf("%s: %s, want %s", c.o.State, got, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		state  model.OrderState
		csr    bool
		status string
		want   Verdict
	}{
		{model.OrderOrdered, false, "pending", Verdict{State: model.OrderOrdered, Wait: true}},
		{model.OrderOrdered, false, "ready", Verdict{State: model.OrderReady}}, // authorizations were valid before
		{model.OrderOrdered, false, "valid", Verdict{State: model.OrderFailed, Dead: true}},
		{model.OrderInitiated, false, "pending", Verdict{State: model.OrderInitiated, Wait: true}},
		{model.OrderInitiated, false, "ready", Verdict{State: model.OrderReady}},
		{model.OrderInitiated, false, "invalid", Verdict{State: model.OrderFailed, Dead: true}},
		{model.OrderReady, true, "ready", Verdict{State: model.OrderReady}},
		{model.OrderReady, true, "processing", Verdict{State: model.OrderFinalized}}, // finalize arrived, its answer did not
		{model.OrderReady, true, "valid", Verdict{State: model.OrderFinalized}},
		{model.OrderReady, false, "processing", Verdict{State: model.OrderFailed, Dead: true}}, // somebody else's request
		{model.OrderReady, true, "pending", Verdict{State: model.OrderFailed, Dead: true}},
		{model.OrderFinalized, true, "ready", Verdict{State: model.OrderReady}},
		{model.OrderFinalized, true, "processing", Verdict{State: model.OrderFinalized, Wait: true}},
		{model.OrderFinalized, true, "valid", Verdict{State: model.OrderFinalized}},
		{model.OrderFinalized, true, "invalid", Verdict{State: model.OrderFailed, Dead: true}},
		{model.OrderInitiated, false, "nonsense", Verdict{State: model.OrderFailed, Dead: true}},
	} {
		o := model.Order{State: c.state}
		if c.csr {
			o.CSR = []byte("x")
		}
		if got := Judge(&o, c.status); got != c.want {
			t.Errorf("%s, csr %v, %s at the authority: %+v, want %+v", c.state, c.csr, c.status, got, c.want)
		}
	}
}
