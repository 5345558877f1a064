// Package nodev1 is the contract between the control plane and its nodes and connectors: the xDS
// resources that make up a snapshot, and the reports that come back.
//
// Resources travel over delta ADS (envoy.service.discovery.v3) with the type URLs of
// shared/resource. Rules for changing a message: fields are only added, numbers are never reused,
// a new field works at its zero value, and behaviour that an old reader would get wrong needs a
// capability below.
//
// Capabilities, newest last:
//
//	1  2026-11-24  first: NodeConfig, Trust, Certificate, Node, Site, Route, Zone, RecordSet,
//	               ConnectorConfig, NodeHealth, Checkpoint
//	2  2026-11-26  Forward, TargetHealth; carriers, local sites, health checks, gossip, TLS-terminated TCP, targets with
//	               several ports, rejections that are counted only
//	3  2026-11-26  sites that are a stock WireGuard peer; Challenge; authorities in zones; keys of session tickets
//	4  2026-11-26  Policy; routes and forwards with one, which older nodes refuse
//	5  2026-11-26  keys of access tokens and the sign-in URL in Trust; Revocation; AccessService; names of nodes
//	               beside the addresses of their endpoints
//	6  2026-11-26  TrafficService
//	7  2026-11-26  Delivery, Maintenance and schemes of targets in routes: older nodes speak plain HTTP and show no page
//	8  2026-11-27  Revocation.stale; iat_us in access tokens
//	9  2026-11-27  PublicationService; Brand
//	10 2026-11-27  Quota: older nodes serve without bounds for an organization
//	11 2026-11-27  Zone.caa: older nodes answer without accounts, which any account at the authorities may use
package nodev1
