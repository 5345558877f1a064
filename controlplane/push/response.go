package push

import (
	"context"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/resource"
)

// response implements cache.DeltaResponse. It is built in the stream's own goroutine when the delta server
// gets to sending it. The message belongs to the stream, for the server writes the nonce into it; the
// resources in it are shared.
type response struct {
	st    *stream
	req   *discovery.DeltaDiscoveryRequest
	build func() ([]*discovery.Resource, []string)
	msg   *discovery.DeltaDiscoveryResponse
}

// GetDeltaDiscoveryResponse implements cache.DeltaResponse.
func (r *response) GetDeltaDiscoveryResponse() (*discovery.DeltaDiscoveryResponse, error) {
	if r.msg != nil {
		return r.msg, nil
	}
	r.st.mu.Lock()
	defer r.st.mu.Unlock()
	if r.st.over {
		return nil, context.Cause(r.st.ctx)
	}
	msg := &discovery.DeltaDiscoveryResponse{TypeUrl: r.req.GetTypeUrl()}
	msg.Resources, msg.RemovedResources = r.build()
	r.msg = msg
	return msg, nil
}

// GetDeltaRequest implements cache.DeltaResponse.
func (r *response) GetDeltaRequest() *discovery.DeltaDiscoveryRequest { return r.req }

// GetSystemVersion implements cache.DeltaResponse; the checkpoint has the revision.
func (r *response) GetSystemVersion() (string, error) { return "", nil }

// GetResponseVersion implements cache.DeltaResponse.
func (r *response) GetResponseVersion() string { return "" }

// GetNextVersionMap implements cache.DeltaResponse. What the client has is kept as a revision, never as a
// map per stream.
func (r *response) GetNextVersionMap() map[string]string { return nil }

// GetReturnedResources implements cache.DeltaResponse.
func (r *response) GetReturnedResources() map[string]string { return nil }

// GetContext implements cache.DeltaResponse.
func (r *response) GetContext() context.Context { return r.st.ctx }

func checkpointResource(cp *nodev1.Checkpoint) *discovery.Resource {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(cp)
	if err != nil {
		panic(err) // type URLs are ours and valid UTF-8, the only thing that Marshal minds
	}
	return &discovery.Resource{
		Name: resource.CheckpointName, Version: resource.Version(resource.Checkpoint, snapshot.Epoch, b),
		Resource: &anypb.Any{TypeUrl: resource.Checkpoint, Value: b},
	}
}

// clip bounds what a stranger can put into logs and errors.
func clip(s string) string { return s[:min(len(s), 256)] }

// label is a type URL as a metric label: a stranger can ask for any number of types.
func label(typeURL string) string {
	if typeOrder[typeURL] == 0 {
		return "unknown"
	}
	return resource.ShortType(typeURL)
}
