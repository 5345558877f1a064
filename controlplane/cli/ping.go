package cli

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/netcheck"
)

// A step is one question on the way, and what came of it.
type step struct {
	Hop    string `json:"hop"`
	What   string `json:"what"`
	State  string `json:"state"` // ok, failed, or what the control plane says of it
	Took   string `json:"took,omitempty"`
	Detail string `json:"detail,omitempty"`
}

func (s step) bad() bool { return s.State == "failed" || s.State == "down" || s.State == "inactive" }

// journey is all steps, in the order in which a request meets them.
type journey struct {
	Subject string `json:"subject"`
	Broken  string `json:"broken,omitempty"`
	Advice  string `json:"advice,omitempty"`
	Steps   []step `json:"steps"`
}

func (a *app) pingCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ping SERVICE|site/NAME|node/NAME", Short: "Go the way to a service, site or node hop by hop, from this machine", Args: cobra.ExactArgs(1),
		Long: "Go the way to a service, site or node hop by hop: the DNS as this machine asks it and at each node, TLS with each node, then what\n" +
			"nodes and connectors report of tunnels and targets, and, of an HTTP service, a GET for / through each node. Prints what each took.\n" +
			"Exits with 1 when a hop is broken, and names it.",
		Example: "  warren ping wiki\n  warren ping site/home\n  warren ping node/fra1",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			kind, name, said := strings.Cut(args[0], "/")
			if !said {
				kind, name = "service", args[0]
			}
			p := pinger{s: s}
			switch kind {
			case "service":
				err = p.service(cmd.Context(), name)
			case "site":
				err = p.site(cmd.Context(), name)
			case "node":
				err = p.node(cmd.Context(), name)
			default:
				return usagef("%q: want a service, site/NAME or node/NAME", args[0])
			}
			if err != nil {
				return err
			}
			return a.arrived(p.journey())
		},
	}
}

// arrived shows a journey, and is an error if it ended on the way.
func (a *app) arrived(j journey) error {
	if a.structured() {
		if err := a.print(j); err != nil {
			return err
		}
	} else {
		var rows [][]string
		for _, s := range j.Steps {
			rows = append(rows, []string{s.Hop, s.What, s.State, s.Took, s.Detail})
		}
		if err := a.table([]string{"hop", "what", "state", "took", "detail"}, rows); err != nil {
			return err
		}
	}
	if j.Broken == "" {
		return nil
	}
	if j.Advice != "" {
		return fmt.Errorf("%s: broken at the hop %q\n  %s", j.Subject, j.Broken, j.Advice)
	}
	return fmt.Errorf("%s: broken at the hop %q", j.Subject, j.Broken)
}

// pinger collects steps.
type pinger struct {
	s       *session
	probe   netcheck.Probe
	subject string
	advice  map[string]string // by hop, of the control plane

	mu    sync.Mutex
	steps map[string][]step // guarded by mu; by hop
}

func (p *pinger) add(s step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.steps == nil {
		p.steps = map[string][]step{}
	}
	p.steps[s.Hop] = append(p.steps[s.Hop], s)
}

// tried adds what came of a question.
func (p *pinger) tried(hop, what string, took time.Duration, detail string, err error) {
	s := step{Hop: hop, What: what, State: "ok", Took: millis(took), Detail: detail}
	switch {
	case errors.Is(err, netcheck.ErrNoWay):
		s.State, s.Detail = "unknown", err.Error()
	case err != nil:
		s.State, s.Detail = "failed", err.Error()
	}
	p.add(s)
}

// journey puts the hops into their order. The first in which something failed is the broken one.
func (p *pinger) journey() journey {
	j := journey{Subject: p.subject, Steps: []step{}}
	for _, hop := range hopNames {
		for _, s := range p.steps[hop] {
			if j.Broken == "" && s.bad() {
				j.Broken, j.Advice = hop, p.advice[hop]
			}
			j.Steps = append(j.Steps, s)
		}
	}
	return j
}

// told adds what the control plane says of the hops that can't be seen from here.
func (p *pinger) told(h typed.Report, hops ...string) {
	p.advice = map[string]string{h.Broken: h.Advice}
	for _, hop := range h.Hops {
		for _, want := range hops {
			if hop.Name != want {
				continue
			}
			for _, part := range hop.Parts {
				p.add(step{Hop: hop.Name, What: part.Kind + " " + part.Name, State: part.State, Detail: part.Reason})
			}
		}
	}
}
