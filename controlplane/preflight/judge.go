package preflight

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/hostname"
)

// Judge makes a report of facts. It is pure.
func Judge(q Question, f Facts) Report {
	r := Report{Methods: map[string][]model.ChallengeType{}, Aliases: map[string]string{}, Records: records(q)}
	ours, problems, warnings := delegation(q, f.Delegation)
	if ours {
		r.Problems, r.Warnings, r.Delegated = problems, warnings, len(problems) == 0
	}
	permitted := map[string]int{}
	for _, name := range q.Names {
		n := f.Names[strings.TrimPrefix(name, "*.")]
		methods, alias, bad := proof(q, f.Delegation, name, n, ours)
		if alias != "" {
			r.Aliases[strings.TrimPrefix(name, "*.")] = alias
		}
		if bad == nil {
			var issuers []string
			methods, issuers, bad = caa(q, name, n, methods, ours && strings.TrimSuffix(n.CAAAt, ".") == q.Apex)
			for _, i := range issuers {
				permitted[i]++
			}
		}
		if bad != nil {
			bad.Name = name
			if !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Code == bad.Code && p.Message == bad.Message }) {
				r.Problems = append(r.Problems, *bad)
			}
			continue
		}
		r.Methods[name] = methods
	}
	for _, i := range q.Issuers {
		if permitted[i.Name] == len(q.Names) {
			r.Issuers = append(r.Issuers, i.Name)
		}
	}
	return r
}

// delegation judges what the parent says. ours reports whether it names any of our nodes: only then it is meant as
// a delegation to us.
func delegation(q Question, d Delegation) (ours bool, problems, warnings []Problem) {
	refuse := func(c Code, format string, args ...any) {
		problems = append(problems, Problem{Code: c, Message: fmt.Sprintf(format, args...)})
	}
	at := "the registrar of " + q.Apex
	var sets [][]string
	union := map[string]bool{}
	for _, addr := range slices.Sorted(maps.Keys(d.Sets)) {
		sets = append(sets, d.Sets[addr])
		for _, host := range d.Sets[addr] {
			union[host] = true
		}
	}
	var extra, missing []string
	for _, s := range q.Servers {
		if union[s.Host] {
			ours = true
		} else {
			missing = append(missing, s.Host)
		}
	}
	if !ours {
		return false, nil, nil
	}
	for host := range union {
		if !slices.ContainsFunc(q.Servers, func(s Server) bool { return s.Host == host }) {
			extra = append(extra, host)
		}
	}
	slices.Sort(extra)
	if len(extra) > 0 {
		refuse(ExtraServers, "%s names %s beside our nodes: remove %s there", at, list(extra), list(extra))
	}
	for _, s := range sets {
		if !slices.Equal(s, sets[0]) && len(extra) == 0 {
			refuse(ParentsDisagree, "name servers of %s do not agree yet who serves %s: wait until the change at the registrar has reached all of them", zoneText(d.Parent), q.Apex)
			break
		}
	}
	for _, s := range q.Servers {
		for _, a := range d.Glue[s.Host] {
			if len(s.Addresses) > 0 && !slices.Contains(s.Addresses, a) {
				refuse(WrongGlue, "%s has the address %s for %s: type %s there", at, a, s.Host, addrs(s.Addresses))
			}
		}
	}
	dead := silent(q, d)
	for _, key := range slices.Sorted(maps.Keys(d.Answers)) {
		host, addr, _ := strings.Cut(key, " ")
		switch wrong := d.Answers[key]; {
		case wrong == "":
		case dead[host]:
			warnings = append(warnings, Problem{Code: AwayServer, Message: fmt.Sprintf("%s (%s), which %s names, is not connected to the control plane and answers nothing: start the node, or remove it there", host, addr, at)})
		default:
			refuse(LameServer, "%s (%s), which %s names, does not answer for %s (%s): start the node, or remove it there", host, addr, at, q.Apex, wrong)
		}
	}
	if d.Signed && !d.Keyed {
		refuse(StaleDS, "%s has a DS record for %s, and our nodes do not sign it: remove the DS record (DNSSEC) there", at, q.Apex)
	}
	if len(missing) > 0 {
		warnings = append(warnings, Problem{Code: MissingServers, Message: fmt.Sprintf("%s does not name %s: add NS records for them", at, list(missing))})
	}
	return true, problems, warnings
}

// silent are the servers that are away and that nobody hears of: a resolver asks the next one. Who has lost the control plane and answers wrongly
// is not among them, nor anybody while there is no server that answers well. What becomes of orders meanwhile is up to the policy of the gate.
func silent(q Question, d Delegation) map[string]bool {
	out, good := map[string]bool{}, false
	for _, s := range q.Servers {
		asked, quiet := 0, 0
		for key, wrong := range d.Answers {
			if host, _, _ := strings.Cut(key, " "); host != s.Host {
				continue
			}
			asked++
			if good = good || wrong == ""; wrong == "" || d.Silent[key] {
				quiet++
			}
		}
		out[s.Host] = s.Away && quiet == asked
	}
	if !good {
		return nil
	}
	return out
}

// proof is how a name can be proved to an authority, or why it can't.
func proof(q Question, d Delegation, name string, n NameFacts, delegated bool) (methods []model.ChallengeType, alias string, bad *Problem) {
	host := strings.TrimPrefix(name, "*.")
	fail := func(c Code, format string, args ...any) ([]model.ChallengeType, string, *Problem) {
		return nil, "", &Problem{Code: c, Message: fmt.Sprintf(format, args...)}
	}
	dns := []model.ChallengeType{model.DNS01}
	at := challengeLabel + host
	if n.ChallengeErr != nil && (delegated || len(n.Alias) > 0) {
		return fail(ChallengeSilent, "%s can't be asked for: %v", at, n.ChallengeErr)
	}
	if len(n.Alias) > 0 {
		target := strings.TrimSuffix(n.Alias[len(n.Alias)-1], ".")
		if zone, ok := within(target, q); ok {
			if !slices.ContainsFunc(n.Servers, func(a netip.Addr) bool { return slices.Contains(zone.Addresses, a) }) {
				return fail(ChallengeAlias, "%s is an alias (CNAME) of %s, and that domain is not delegated to our nodes: see the check of %s", at, target, zone.Apex)
			}
			return dns, strings.TrimPrefix(target, challengeLabel), nil
		}
		return fail(ChallengeAlias, "%s is an alias (CNAME) of %s, which is not ours: remove it, or let it point to %sNAME where NAME is in one of your domains here", at, target, challengeLabel)
	}
	switch {
	case n.Cut != "":
		return fail(ChallengeDelegated, "%s is delegated to other name servers: remove the NS records there", at)
	case delegated:
		return dns, "", nil
	case len(d.Sets) == 0 && d.Err != nil:
		return fail(ParentSilent, "the zone above %s can't be asked: %v", q.Apex, d.Err)
	}
	// Not delegated: the name itself has to lead to our nodes.
	var foreign []string
	for _, a := range n.Addresses {
		if !slices.Contains(q.Addresses, a) {
			foreign = append(foreign, a.String())
		}
	}
	switch {
	case n.AddressErr != nil:
		return fail(AddressUnanswered, "the addresses of %s can't be found out: %v", host, n.AddressErr)
	case len(n.Addresses) > 0 && len(foreign) == 0 && hostname.IsWildcard(name):
		return fail(WildcardNeedsDNS, "%s is not delegated, and a wildcard can be proved in the DNS alone: %s, or make %s an alias (CNAME) of %sNAME where NAME is in one of your domains here", q.Apex, delegateText(q), at, challengeLabel)
	case len(n.Addresses) > 0 && len(foreign) == 0:
		return []model.ChallengeType{model.TLSALPN01, model.HTTP01}, "", nil
	case len(foreign) > 0 && len(foreign) < len(n.Addresses):
		return fail(PointsElsewhere, "%s has the addresses %s, which are not our nodes': remove them", host, list(foreign))
	}
	for _, set := range d.Sets {
		if len(set) > 0 {
			return fail(WrongServers, "%s is delegated to %s: %s; or let %s point to %s", q.Apex, list(set), delegateText(q), host, addrs(q.Addresses))
		}
	}
	return fail(NotDelegated, "%s is not delegated to our nodes: %s; or let %s point to %s", q.Apex, delegateText(q), host, addrs(q.Addresses))
}

// within reports whether a name is where our nodes answer challenges: below the label, in a zone of the same
// organization.
func within(name string, q Question) (zone Zone, ok bool) {
	of, is := strings.CutPrefix(name, challengeLabel)
	for _, z := range q.Zones {
		if is && hostname.Within(of, z.Apex) && len(z.Apex) > len(zone.Apex) {
			zone, ok = z, true
		}
	}
	return zone, ok
}

// caa judges the records that count for a name. Our own nodes may name an account that is not the newest: the gate has them answer with that before
// the authority looks.
func caa(q Question, name string, n NameFacts, methods []model.ChallengeType, ours bool) (left []model.ChallengeType, issuers []string, bad *Problem) {
	if n.CAAErr != nil {
		return nil, nil, &Problem{Code: CAAUnanswered, Message: fmt.Sprintf("CAA records of %s can't be asked for, and authorities refuse then: %v", strings.TrimSuffix(n.CAAAt, "."), n.CAAErr)}
	}
	ask := q.Issuers
	if len(ask) == 0 {
		ask = []Issuer{{}}
	}
	for _, i := range ask {
		if ours {
			i.Account = ""
		}
		ok, code, why := permit(n.CAA, hostname.IsWildcard(name), i, methods)
		if code == "" {
			for _, m := range ok {
				if !slices.Contains(left, m) {
					left = append(left, m)
				}
			}
			issuers = append(issuers, i.Name)
		} else if bad == nil {
			bad = &Problem{Code: code, Message: fmt.Sprintf("CAA at %s %s", strings.TrimSuffix(n.CAAAt, "."), why)}
		}
	}
	if len(issuers) > 0 {
		return left, issuers, nil
	}
	return nil, nil, bad
}

func delegateText(q Question) string {
	var hosts []string
	for _, s := range q.Servers {
		text := s.Host
		if len(s.Addresses) > 0 {
			text += " (" + addrs(s.Addresses) + ")"
		}
		hosts = append(hosts, text)
	}
	if len(hosts) == 0 {
		return "its pool has no nodes yet"
	}
	return "type NS " + list(hosts) + " at its registrar"
}

func zoneText(zone string) string {
	if zone == "." || zone == "" {
		return "the root"
	}
	return strings.TrimSuffix(zone, ".")
}

func addrs(a []netip.Addr) string {
	var out []string
	for _, x := range a {
		out = append(out, x.String())
	}
	if len(out) == 0 {
		return "our nodes"
	}
	return list(out)
}
