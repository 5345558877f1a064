package console

import (
	"net/http"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
)

// routes is all pages and forms, with what one needs for them. A page of an organization is below /console/orgs/{org}/,
// where the permission is asked for; one of the cluster is below /console/cluster/.
func (c *Console) routes() {
	const org, cluster = Root + "/orgs/{org}", Root + "/cluster"
	c.mux.HandleFunc("GET "+Root+"/assets/{file}", serveAsset)
	c.mux.HandleFunc("GET "+Root+"/events", c.events)
	c.mux.HandleFunc("GET "+Root+"/{$}", c.enter)
	c.mux.HandleFunc("GET "+Root, c.enter)
	c.page(Root+"/orgs", access.StatusRead, listOrganizations)
	c.page(Root+"/", access.StatusRead, nothingHere)

	c.page(org+"/{$}", access.StatusRead, overview)
	c.page(org+"/find", access.StatusRead, findPage)
	c.mux.HandleFunc("GET "+org+"/find/list", c.foundList)

	c.page(org+"/sites", access.SitesRead, listSites)
	c.page(org+"/sites/{site}", access.SitesRead, showSite)
	c.page(org+"/sites/{site}/edit", access.SitesWrite, editSite)
	c.form(org+"/sites/{site}/edit", access.SitesWrite, changeSite)
	c.page(org+"/sites/{site}/delete", access.SitesWrite, askDeleteSite)
	c.form(org+"/sites/{site}/delete", access.SitesWrite, deleteSite)
	c.page(org+"/sites/{site}/connectors/{connector}/revoke", access.ConnectorsRevoke, askRevokeConnector)
	c.form(org+"/sites/{site}/connectors/{connector}/revoke", access.ConnectorsRevoke, revokeConnector)
	c.snapshotRoutes(org+"/sites/{site}/connectors/{connector}", (*Request).connectorHolder)

	c.page(org+"/connect", access.SitesWrite, connectPage)
	c.form(org+"/connect", access.SitesWrite, connectForm)
	c.page(org+"/connect/{connector}", access.SitesRead, connectState)
	c.form(org+"/connect/{connector}/publish", access.ServicesWrite, publishForm)

	c.page(org+"/services", access.ServicesRead, listServices)
	c.page(org+"/publish", access.ServicesWrite, newService)
	c.form(org+"/publish", access.ServicesWrite, createService)
	c.page(org+"/services/{service}", access.ServicesRead, showService)
	c.page(org+"/services/{service}/edit", access.ServicesWrite, editService)
	c.form(org+"/services/{service}/edit", access.ServicesWrite, changeService)
	c.page(org+"/services/{service}/delete", access.ServicesWrite, askDeleteService)
	c.form(org+"/services/{service}/delete", access.ServicesWrite, deleteService)
	c.page(org+"/services/{service}/yaml", access.ServicesRead, serviceYAML)
	c.form(org+"/services/{service}/yaml", access.ServicesWrite, changeServiceYAML)
	c.page(org+"/services/{service}/add-target", access.TargetsWrite, newTarget)
	c.form(org+"/services/{service}/add-target", access.TargetsWrite, createTarget)
	c.page(org+"/services/{service}/targets/{target}/edit", access.TargetsWrite, editTarget)
	c.form(org+"/services/{service}/targets/{target}/edit", access.TargetsWrite, changeTarget)
	c.page(org+"/services/{service}/targets/{target}/delete", access.TargetsWrite, askDeleteTarget)
	c.form(org+"/services/{service}/targets/{target}/delete", access.TargetsWrite, deleteTarget)

	c.policyRoutes(org)
	c.peopleRoutes(org)
	c.settingRoutes(org, cluster)
	c.userRoutes(cluster)

	c.page(org+"/domains", access.DomainsRead, listDomains)
	c.page(org+"/add-domain", access.DomainsWrite, newDomain)
	c.form(org+"/add-domain", access.DomainsWrite, createDomain)
	c.page(org+"/domains/{domain}", access.DomainsRead, showDomain)
	c.form(org+"/domains/{domain}/check", access.DomainsRead, checkDomain)
	c.page(org+"/domains/{domain}/edit", access.DomainsWrite, editDomain)
	c.form(org+"/domains/{domain}/edit", access.DomainsWrite, changeDomain)
	c.page(org+"/domains/{domain}/delete", access.DomainsWrite, askDeleteDomain)
	c.form(org+"/domains/{domain}/delete", access.DomainsWrite, deleteDomain)

	c.page(org+"/topology", access.SitesRead, showTopology)

	c.mux.HandleFunc("GET "+org+"/traffic", c.traffic)
	c.page(org+"/requests", access.RequestsRead, listRequests)
	c.page(org+"/requests/live", access.RequestsRead, watchRequests)
	c.mux.HandleFunc("GET "+org+"/requests/tail", c.tailRequests)

	c.page(org+"/events", access.EventsRead, listEvents)
	c.mux.HandleFunc("GET "+org+"/events/export", c.exportEvents)
	for _, at := range []string{org, cluster} {
		c.page(at+"/audit", access.AuditRead, listAudit)
		c.mux.HandleFunc("GET "+at+"/audit/export", c.exportAudit)
	}
	c.page(cluster+"/audit/verify", access.AuditRead, verifyAudit)
	c.alertRoutes(org, access.AlertsRead, access.AlertsManage, removalOf(c.Admin.AlertRules, ruleName, alertRemoval))
	c.alertRoutes(cluster, access.ClusterAlertsRead, access.ClusterAlertsManage, removalOf(c.Admin.ClusterAlertRules, ruleName, alertRemoval))

	c.page(org+"/certificates", access.CertificatesRead, listCertificates)
	c.page(org+"/certificates/{certificate}", access.CertificatesRead, showCertificate)
	c.form(org+"/certificates/{certificate}/renew", access.CertificatesWrite, renewCertificate)

	c.page(org+"/gitops", access.StatusRead, listSets)
	c.page(org+"/gitops/{set}", access.StatusRead, showSet)
	c.page(org+"/api", access.StatusRead, listCalls)
	c.page(org+"/api/{call}", access.StatusRead, showCall)

	c.joinTokenRoutes(org, cluster)
	c.joinNodeRoutes(cluster)
	c.organizationRoutes(cluster)
	groupRoutes(c, cluster, poolGrouping, c.Admin.Pools, func(v admin.Pool) string { return v.Name }, (*Request).poolNow)
	groupRoutes(c, cluster, regionGrouping, c.Admin.Regions, func(v admin.Region) string { return v.Name }, (*Request).regionNow)
	c.issuerRoutes(cluster)
	c.upkeepRoutes(cluster)
	c.jobRoutes(cluster)
	c.page(cluster+"/diagnostics", access.SnapshotsRead, showDiagnostics)
	c.form(cluster+"/diagnostics/check", access.ClusterManage, checkReplica)
	c.mux.HandleFunc("GET "+cluster+"/diagnostics/report", c.report)
	c.page(cluster+"/nodes", access.NodesRead, listNodes)
	c.page(cluster+"/nodes/{node}", access.NodesRead, showNode)
	c.snapshotRoutes(cluster+"/nodes/{node}", (*Request).nodeHolder)
	c.page(cluster+"/nodes/{node}/drain", access.NodesDrain, askDrain)
	c.form(cluster+"/nodes/{node}/drain", access.NodesDrain, drainNode)
	c.form(cluster+"/nodes/{node}/activate", access.NodesDrain, activateNode)
}

func (c *Console) alertRoutes(at string, read, write access.Permission, r removal) {
	c.page(at+"/alerts", read, listAlerts)
	c.page(at+"/new-alert-rule", write, newAlertRule)
	c.form(at+"/new-alert-rule", write, createAlertRule)
	c.page(at+"/alerts/{name}", read, showAlertRule)
	c.page(at+"/alerts/{name}/edit", write, editAlertRule)
	c.form(at+"/alerts/{name}/edit", write, changeAlertRule)
	c.form(at+"/alerts/{name}/silence", write, silenceAlertRule)
	c.form(at+"/alerts/{name}/acknowledge", write, acknowledgeAlert)
	c.removable(at+"/alerts/{name}", write, r)
}

// enter leads to the organization last looked at.
func (c *Console) enter(w http.ResponseWriter, r *http.Request) {
	p, ok := c.caller(w, r)
	if !ok {
		return
	}
	q := &Request{Request: r, Console: c, Who: p, Org: c.first(r, p), m: c.World.Get()}
	to := "/account"
	switch {
	case q.Org != nil:
		to = q.To("")
	case q.Can(access.NodesRead):
		to = q.ToCluster("nodes")
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
