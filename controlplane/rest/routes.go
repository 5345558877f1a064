package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
)

// routes registers every operation; api/rest/paths.txt lists what comes of it. Each collection has list, get, and, unless it is
// read-only, create (POST), put, delete and labels.
func (a *API) routes() {
	k := a.Admin
	if k == nil {
		k = admin.New(nil, nil, nil, "") // enough to describe the API
		a.Admin = k
	}
	clusterKind(a, k.Organizations, "organization", "organizations", organizationBody{})
	clusterKind(a, k.Regions, "region", "regions", regionBody{})
	clusterKind(a, k.Pools, "pool", "pools", poolBody{})
	clusterKind(a, k.Nodes, "node", "nodes", nodeBody{})
	clusterReadable(a, k.APIKeys, "api-key", "api-keys")
	clusterDeletable(a, k.APIKeys, "api-key", "api-keys")
	clusterReadable(a, k.JoinTokens, "join-token", "join-tokens")
	clusterDeletable(a, k.JoinTokens, "join-token", "join-tokens")
	orgReadable(a, k.ConnectorJoinTokens, "connector-join-token", "connector-join-tokens")
	orgDeletable(a, k.ConnectorJoinTokens, "connector-join-token", "connector-join-tokens")

	orgKind(a, k.Sites, "site", "sites", siteBody{})
	orgKind(a, k.Connectors, "connector", "connectors", connectorBody{})
	orgKind(a, k.Policies, "policy", "policies", policyBody{})
	orgKind(a, k.Services, "service", "services", serviceBody{})
	orgKind(a, k.Targets, "target", "targets", targetBody{})
	orgKind(a, k.Domains, "domain", "domains", domainBody{})
	orgReadable(a, k.Certificates, "certificate", "certificates")
	orgDeletable(a, k.Certificates, "certificate", "certificates")

	clusterKind(a, k.Issuers, "issuer", "issuers", issuerBody{})
	a.certificates()
	a.people()
	a.signIn()
	a.audit()

	orgKind(a, k.Webhooks, "webhook", "webhooks", webhookBody{})
	clusterKind(a, k.ClusterWebhooks, "cluster-webhook", "cluster-webhooks", webhookBody{})
	a.webhooks()
	a.manifests()

	orgKind(a, k.AlertRules, "alert-rule", "alert-rules", alertRuleBody{})
	clusterKind(a, k.ClusterAlertRules, "cluster-alert-rule", "cluster-alert-rules", alertRuleBody{})
	a.alerts()
	a.jobs()

	a.secrets()
	a.actions()
	a.gossipKeys()
	a.wireGuard()
	a.policySecrets()
	a.explain()
	a.branding()
	a.requests()
	a.healths()
	a.diagnosis()
	a.upkeep()
	a.domainCheck()
	a.state()
	a.snapshots()
}

// secrets are made, shown once, and never again. Of a key, what is no secret can be changed.
func (a *API) secrets() {
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/api-keys", "create-api-key", "Create an API key; its secret is shown once", "api-keys", access.KeysManage, 201),
		func(ctx context.Context, in *struct{ Body apiKeyBody }) (*answer[admin.APIKey], error) {
			v, err := a.Admin.CreateAPIKey(ctx, caller(ctx), in.Body.Name, in.Body.APIKeySpec)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[admin.APIKey]{Status: http.StatusCreated, Body: v}, nil
		})
	huma.Register(a.huma, operation(http.MethodPut, "/api/v1/api-keys/{name}", "put-api-key",
		"Replace the end of an API key, and its name where the path has the id; it is not created", "api-keys", access.KeysManage, 200),
		func(ctx context.Context, in *struct {
			NamePath
			Body apiKeyChangeBody
		}) (*answer[admin.APIKey], error) {
			return a.changeKey(ctx, "", in.Name, in.Body)
		})
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/join-tokens", "create-join-token",
		"Create a join token for a node or connector; it is shown once, good once, for ten minutes", "join-tokens", access.ConnectorsEnroll, 201),
		func(ctx context.Context, in *struct{ Body admin.JoinTokenSpec }) (*answer[admin.JoinToken], error) {
			v, err := a.Admin.CreateJoinToken(ctx, caller(ctx), in.Body)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			v.Control = a.Control
			return &answer[admin.JoinToken]{Status: http.StatusCreated, Body: v}, nil
		})
}

// gossipKeys rotates the key of the gossip between nodes; the keys themselves are shown to nobody.
func (a *API) gossipKeys() {
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/gossip-keys", "list-gossip-keys", "How far a rotation of the gossip key is", "gossip-keys", access.GossipRead, 200),
		func(ctx context.Context, _ *struct{}) (*answer[page[admin.GossipKey]], error) {
			keys, err := a.Admin.GossipKeys(ctx, caller(ctx))
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[page[admin.GossipKey]]{Status: http.StatusOK, Body: page[admin.GossipKey]{Items: keys}}, nil
		})
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/gossip-keys/rotate", "rotate-gossip-key", "Replace the key of the gossip between nodes, step by step, while they talk",
		"gossip-keys", access.GossipRotate, 200),
		func(ctx context.Context, _ *struct{}) (*answer[page[admin.GossipKey]], error) {
			keys, rev, err := a.Admin.RotateGossipKey(ctx, caller(ctx))
			return acted(ctx, a, page[admin.GossipKey]{Items: keys}, rev, err)
		})
}

// actions change one thing of an object.
func (a *API) actions() {
	post := func(path, id, summary, tag string, need access.Permission) huma.Operation {
		return operation(http.MethodPost, path, id, summary, tag, need, 200)
	}
	huma.Register(a.huma, post("/api/v1/nodes/{name}/drain", "drain-node", "Take a node out of DNS answers, and sites away from it", "nodes", access.NodesDrain),
		func(ctx context.Context, in *oneInput) (*answer[admin.Node], error) {
			v, rev, err := a.Admin.Drain(ctx, caller(ctx), in.Name)
			return acted(ctx, a, v, rev, err)
		})
	huma.Register(a.huma, post("/api/v1/nodes/{name}/activate", "activate-node", "Put a drained node back into DNS answers and assignments", "nodes", access.NodesDrain),
		func(ctx context.Context, in *oneInput) (*answer[admin.Node], error) {
			v, rev, err := a.Admin.Activate(ctx, caller(ctx), in.Name)
			return acted(ctx, a, v, rev, err)
		})
	huma.Register(a.huma, post("/api/v1/nodes/{name}/revoke", "revoke-node", "Trust a node no more, for good", "nodes", access.NodesRevoke),
		func(ctx context.Context, in *oneInput) (*answer[admin.Node], error) {
			v, rev, err := a.Admin.Revoke(ctx, caller(ctx), in.Name)
			return acted(ctx, a, v, rev, err)
		})
	huma.Register(a.huma, post("/api/v1/orgs/{org}/domains/{name}/prove", "prove-domain",
		"Make a claimed domain the organization's, on the word of an administrator of the cluster; for others: ask the DNS about it soon", "domains", access.DomainsWrite),
		func(ctx context.Context, in *oneOrgInput) (*answer[admin.Domain], error) {
			v, rev, err := a.Admin.ProveDomain(ctx, caller(ctx), in.Org, in.Name)
			return acted(ctx, a, v, rev, err)
		})
	huma.Register(a.huma, post("/api/v1/orgs/{org}/connectors/{name}/revoke", "revoke-connector", "Trust a connector no more, for good", "connectors", access.ConnectorsRevoke),
		func(ctx context.Context, in *oneOrgInput) (*answer[admin.Connector], error) {
			v, rev, err := a.Admin.RevokeConnector(ctx, caller(ctx), in.Org, in.Name)
			return acted(ctx, a, v, rev, err)
		})
}

// health is for load balancers: no key, no detail.
type health struct {
	Body struct {
		OK       bool   `json:"ok"`
		Revision uint64 `json:"revision" doc:"Newest revision of this replica"`
	}
}

func (a *API) probes() {
	free := func(path, id, summary string) huma.Operation {
		return huma.Operation{
			Method: http.MethodGet, Path: path, OperationID: id, Summary: summary, Tags: []string{"state"}, Errors: []int{503},
			Metadata: map[string]any{open: true}, Extensions: map[string]any{"x-warren-permission": "none"},
		}
	}
	huma.Register(a.huma, free("/healthz", "health", "Whether this process lives"), func(context.Context, *struct{}) (*health, error) {
		h := &health{}
		h.Body.OK, h.Body.Revision = true, uint64(a.Push.Published())
		return h, nil
	})
	huma.Register(a.huma, free("/readyz", "ready", "Whether this replica serves: it has read the configuration"), func(ctx context.Context, _ *struct{}) (*health, error) {
		rev := a.Push.Published()
		if rev == 0 {
			return nil, a.failed(ctx, errLoading)
		}
		h := &health{}
		h.Body.OK, h.Body.Revision = true, uint64(rev)
		return h, nil
	})
}

var errLoading = fault.New(fault.Unavailable, "the configuration is not read yet")
