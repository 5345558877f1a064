package rest

import (
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
)

// body is what is sent to write an object: its name beside the fields of its spec.
type body[S any] interface {
	name() string
	labels() *model.Labels
	spec() S
}

// Title is the name in a body. It is required to create, and optional where the path has it.
type Title struct {
	Name string `json:"name,omitempty" maxLength:"253" doc:"Lower-case letters, digits and inner hyphens; of a domain its apex. Not needed where the path has it"`
}

func (t Title) name() string { return t.Name }

// Heading is Title with labels.
type Heading struct {
	Title
	Labels *model.Labels `json:"labels,omitempty" doc:"What people call the object by, in the syntax of Kubernetes: an optional domain and a slash, a word, and a word or nothing as value. Nodes never see them. They stay if absent"`
}

func (h Heading) labels() *model.Labels { return h.Labels }

type organizationBody struct {
	Heading
	admin.OrganizationSpec
}

func (b organizationBody) spec() admin.OrganizationSpec { return b.OrganizationSpec }

type regionBody struct {
	Heading
}

func (regionBody) spec() admin.RegionSpec { return admin.RegionSpec{} }

type poolBody struct {
	Heading
}

func (poolBody) spec() admin.PoolSpec { return admin.PoolSpec{} }

type nodeBody struct {
	Heading
	admin.NodeSpec
}

func (b nodeBody) spec() admin.NodeSpec { return b.NodeSpec }

type siteBody struct {
	Heading
	admin.SiteSpec
}

func (b siteBody) spec() admin.SiteSpec { return b.SiteSpec }

type connectorBody struct {
	Heading
	admin.ConnectorSpec
}

func (b connectorBody) spec() admin.ConnectorSpec { return b.ConnectorSpec }

type serviceBody struct {
	Heading
	admin.ServiceSpec
}

func (b serviceBody) spec() admin.ServiceSpec { return b.ServiceSpec }

type targetBody struct {
	Heading
	admin.TargetSpec
}

func (b targetBody) spec() admin.TargetSpec { return b.TargetSpec }

type domainBody struct {
	Heading
	admin.DomainSpec
}

func (b domainBody) spec() admin.DomainSpec { return b.DomainSpec }

type issuerBody struct {
	Heading
	admin.IssuerSpec
}

func (b issuerBody) spec() admin.IssuerSpec { return b.IssuerSpec }

type webhookBody struct {
	Heading
	admin.WebhookSpec
}

func (b webhookBody) spec() admin.WebhookSpec { return b.WebhookSpec }

type alertRuleBody struct {
	Heading
	admin.AlertRuleSpec
}

func (b alertRuleBody) spec() admin.AlertRuleSpec { return b.AlertRuleSpec }

type apiKeyBody struct {
	Title
	admin.APIKeySpec
}

type apiKeyChangeBody struct {
	Title
	admin.APIKeyChange
}

type policyBody struct {
	Heading
	admin.PolicySpec
}

func (b policyBody) spec() admin.PolicySpec { return b.PolicySpec }
