package preflight

import (
	"fmt"
	"strings"

	"github.com/warrenedge/warren/controlplane/model"
)

// Code says what is wrong, the same in every release.
type Code string

// Codes of refusals.
const (
	NotDelegated       Code = "not_delegated"       // the parent does not know the domain, and it does not lead here otherwise
	WrongServers       Code = "wrong_ns"            // the parent names none of our nodes, and it does not lead here otherwise
	ExtraServers       Code = "extra_ns"            // the parent names others beside our nodes
	ParentsDisagree    Code = "parent_disagrees"    // servers of the parent name different sets
	WrongGlue          Code = "wrong_glue"          // the parent has other addresses for our nodes
	LameServer         Code = "lame_ns"             // a node that the parent names does not answer with authority
	StaleDS            Code = "stale_ds"            // the parent says that the zone is signed, and it is not
	ParentSilent       Code = "parent_unanswered"   // the parent could not be asked
	CAAForbids         Code = "caa_forbids"         // no issuer is permitted
	CAAAccount         Code = "caa_account"         // the issuer is permitted for another account
	CAAMethod          Code = "caa_method"          // the issuer is permitted by other methods
	CAACritical        Code = "caa_critical"        // a critical property that authorities must refuse, or may not know
	CAAUnanswered      Code = "caa_unanswered"      // authorities refuse when they get no answer
	ChallengeAlias     Code = "challenge_alias"     // _acme-challenge leads to a zone that is not ours
	ChallengeDelegated Code = "challenge_delegated" // _acme-challenge is in a zone of somebody else's servers
	ChallengeSilent    Code = "challenge_unanswered"
	PointsElsewhere    Code = "points_elsewhere"   // some of the name's addresses are not our nodes'
	WildcardNeedsDNS   Code = "wildcard_needs_dns" // a wildcard of a domain that is not delegated
	AddressUnanswered  Code = "address_unanswered" // the name's addresses could not be found out
)

// Codes of warnings: an authority is content all the same.
const (
	MissingServers Code = "missing_ns" // the parent does not name all of our nodes
	AwayServer     Code = "away_ns"    // a node that the parent names is away and answers nothing
)

// Problem is one thing that is wrong.
type Problem struct {
	Code    Code
	Name    string // hostname that it is about; "": the domain
	Message string // one sentence: what is wrong, and what to type
}

// Report is the outcome of a check.
type Report struct {
	Delegated bool                             // the parent names our nodes, and all is well with that
	Methods   map[string][]model.ChallengeType // by name of the question: how it may be proved to an authority
	Aliases   map[string]string                // by hostname: the name whose challenges are answered for it
	Issuers   []string                         // names of those that may issue for all names; of none that were asked about, none
	Problems  []Problem                        // each refuses
	Warnings  []Problem
	Records   []Record // what to type at the registrar to delegate the domain
}

// OK reports whether an authority may be asked.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// Refusal is the first problem as a sentence, with the number of others; "" if there is none.
func (r Report) Refusal() string {
	switch len(r.Problems) {
	case 0:
		return ""
	case 1:
		return r.Problems[0].Message
	}
	return fmt.Sprintf("%s (and %d more)", r.Problems[0].Message, len(r.Problems)-1)
}

// Record is one line for the registrar, or for the zone above.
type Record struct{ Name, Type, Value string }

func (r Record) String() string { return r.Name + " " + r.Type + " " + r.Value }

// records delegate the domain to our nodes. Glue is needed because the servers' names are in the domain itself.
func records(q Question) []Record {
	var ns, glue []Record
	for _, s := range q.Servers {
		ns = append(ns, Record{q.Apex, "NS", s.Host})
		for _, a := range s.Addresses {
			kind := "A"
			if a.Is6() {
				kind = "AAAA"
			}
			glue = append(glue, Record{s.Host, kind, a.String()})
		}
	}
	return append(ns, glue...)
}

// list is names for a sentence, some of many.
func list(names []string) string {
	const most = 6
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
