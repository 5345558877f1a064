package web

import (
	"net/http"

	"github.com/warrenedge/warren/controlplane/signin"
	"github.com/warrenedge/warren/controlplane/visit"
)

// pathLauncher is the page of services that a user can open.
const pathLauncher = "/services"

// launcher shows who is signed in what he can open.
func (p *Pages) launcher(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	var list []visit.App
	if p.Visits != nil {
		var err error
		if list, err = p.Visits.Apps(r.Context(), who.User.ID); err != nil {
			p.failed(w, r, err)
			return
		}
	}
	var all []apps
	for _, a := range list {
		if len(all) == 0 || all[len(all)-1].Organization != a.Organization {
			all = append(all, apps{Organization: a.Organization})
		}
		last := &all[len(all)-1]
		last.Services = append(last.Services, a)
	}
	p.show(w, r, http.StatusOK, launcherView(who, all))
}
