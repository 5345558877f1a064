// Package orders carries orders of certificates through their states at the authorities that issue them
// (RFC 8555 §7.1.6).
//
// An order is a row. Whoever has its lease takes the next step, which is decided from the row alone (next.go),
// and writes what came of it in one transaction that the newest fencing token guards. Each step may be taken
// again: who takes over where another was killed asks the authority first what it knows.
package orders

import "github.com/warrenedge/warren/controlplane/model"

// Step is what is to be done for an order next.
type Step string

// Steps, in the order in which they are taken.
const (
	Recover    Step = "recover"   // newOrder may have been sent: look for what it made
	Place      Step = "place"     // pre-flight, budget, newOrder
	Challenge  Step = "challenge" // read the authorizations, write what nodes are to answer
	AwaitNodes Step = "await"     // until all who may be asked answer it
	Initiate   Step = "initiate"  // tell the authority to look
	Validate   Step = "validate"  // read the order until the authority is convinced
	MakeKey    Step = "key"       // make key and request, store both
	Finalize   Step = "finalize"  // send the request
	Collect    Step = "collect"   // read the order until it is issued, then download
	Publish    Step = "publish"   // to the nodes, and say what it takes the place of
	AwaitApply Step = "apply"     // until all nodes have it
	Nothing    Step = "nothing"   // it is over
)

// Next returns the next step of an order.
func Next(o *model.Order) Step {
	switch o.State {
	case model.OrderPlanned:
		if !o.Intent.IsZero() {
			return Recover
		}
		return Place
	case model.OrderOrdered:
		return Challenge
	case model.OrderChallengesWritten:
		return AwaitNodes
	case model.OrderNodesAcked:
		return Initiate
	case model.OrderInitiated:
		return Validate
	case model.OrderReady:
		if len(o.CSR) == 0 {
			return MakeKey
		}
		return Finalize
	case model.OrderFinalized:
		return Collect
	case model.OrderDownloaded:
		return Publish
	case model.OrderPublished:
		return AwaitApply
	}
	return Nothing
}

// Verdict is what an authority's word means for an order.
type Verdict struct {
	State model.OrderState // the state it is in now
	Wait  bool             // nothing has changed: ask again later
	Dead  bool             // nothing will come of it
}

// Judge compares an order with its status at the authority, which may be ahead of the row: steps whose answer
// was lost were taken. An order that is further than we could have brought it is not ours to use.
func Judge(o *model.Order, status string) Verdict {
	dead, wait := Verdict{State: model.OrderFailed, Dead: true}, Verdict{State: o.State, Wait: true}
	asked := len(o.CSR) > 0 // finalize may have been sent
	switch status {
	case "pending":
		if o.State == model.OrderFinalized || o.State == model.OrderReady {
			return dead // it was convinced before
		}
		return wait
	case "ready":
		return Verdict{State: model.OrderReady} // from finalized too: the request did not arrive
	case "processing", "valid":
		if !asked {
			return dead
		}
		if o.State == model.OrderFinalized && status == "processing" {
			return wait
		}
		return Verdict{State: model.OrderFinalized}
	}
	return dead
}
