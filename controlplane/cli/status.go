package cli

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// measured reports whether an end says more of a tunnel than that it is there.
func measured(t typed.TunnelView) bool {
	return t.RoundTripMs != nil || t.Carrier != "" || t.Transport != ""
}

// members are nodes and connectors.
func members(st typed.StatusAnswerBody) []typed.MemberView {
	return slices.Concat(st.Nodes, st.Connectors)
}

func (a *app) statusCommand() *cobra.Command {
	var services bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show what is online, and whether every node has the newest configuration", Args: cobra.NoArgs,
		Long: "Show what is online, and whether every node has the newest configuration. Exits with 4 when a node or connector is not up, or there is an alarm.\n" +
			"With --services: how each hop to each service of the organization is, and what to do about what is broken; exits with 4 when something is.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if services {
				return a.statusOfServices(cmd.Context())
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			st, _, err := s.api.Status(cmd.Context())
			if err != nil {
				return err
			}
			if a.structured() {
				err = a.print(st)
			} else {
				err = a.showStatus(st)
			}
			if err != nil {
				return err
			}
			for _, m := range members(st) {
				if m.State != "up" && m.State != "revoked" || m.Alarm != nil {
					return errNotReady
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&services, "services", false, "show how each hop to each service is: DNS, node, TLS, tunnel, target")
	return cmd
}

func (a *app) showStatus(st typed.StatusAnswerBody) error {
	fmt.Fprintf(a.out, "revision %d, %d control replica(s)\n\n", st.Revision, len(st.Replicas))
	var rows [][]string
	row := func(kind string, m typed.MemberView) {
		rows = append(rows, []string{kind, m.Name, m.State, strconv.FormatInt(m.AppliedRevision, 10), fmt.Sprintf("%d of %d", m.TunnelsUp, m.Tunnels), m.Replica, m.Version})
	}
	for _, m := range st.Nodes {
		row("node", m)
	}
	for _, m := range st.Connectors {
		m.Name = m.Site + "/" + m.Name
		row("connector", m)
	}
	if len(rows) == 0 {
		a.say("no nodes yet: warren node join --help")
		return nil
	}
	if err := a.table([]string{"kind", "name", "state", "applied", "tunnels up", "replica", "version"}, rows); err != nil {
		return err
	}
	for _, m := range members(st) {
		if m.Alarm != nil {
			fmt.Fprintf(a.out, "\nALARM: %s\n", m.Alarm.Text)
		}
	}
	a.showRejected(st)
	if err := a.showTunnels(st); err != nil {
		return err
	}
	return a.showTargets(st.Targets)
}

// showRejected says who has not applied everything, and where to read more.
func (a *app) showRejected(st typed.StatusAnswerBody) {
	for _, m := range members(st) {
		if m.Rejected == 0 {
			continue
		}
		fmt.Fprintf(a.out, "\n%s: %d resource(s) rejected, see: warren snapshot %s\n", m.Name, m.Rejected, m.ID)
		if m.RejectedOmitted > 0 {
			fmt.Fprintf(a.out, "%s: %d more rejected, not listed\n", m.Name, m.RejectedOmitted)
		}
	}
}

// showTunnels lists each tunnel as its connector sees it, once somebody measures; -o wide has the nodes' side, too.
// By what carrier streams go is for the node to choose.
func (a *app) showTunnels(st typed.StatusAnswerBody) error {
	names := map[string]string{}
	for _, m := range members(st) {
		names[m.ID] = m.Name
	}
	type ends struct{ node, connector string }
	chosen := map[ends]string{}
	for _, m := range st.Nodes {
		for _, t := range m.TunnelStates {
			chosen[ends{m.ID, t.Peer}] = t.Carrier
		}
	}
	var rows [][]string
	some := false
	add := func(kind string, m typed.MemberView) {
		for _, t := range m.TunnelStates {
			some = some || measured(t)
			state, trip, loss := "down", "", ""
			if t.Up {
				state = "up"
			}
			if t.RoundTripMs != nil {
				trip, loss = fmt.Sprintf("%.1f ms", *t.RoundTripMs), fmt.Sprintf("%.1f %%", 100*t.Loss)
			}
			carrier := firstOf(t.Carrier, chosen[ends{t.Peer, m.ID}])
			rows = append(rows, []string{kind + " " + m.Name, firstOf(names[t.Peer], t.Peer), state, carrier, t.Transport, trip, loss})
		}
	}
	for _, m := range st.Connectors {
		m.Name = m.Site + "/" + m.Name
		add("connector", m)
	}
	if a.output == "wide" {
		for _, m := range st.Nodes {
			add("node", m)
		}
	}
	if !some {
		return nil
	}
	fmt.Fprintln(a.out)
	return a.table([]string{"tunnel of", "to", "state", "carrier", "transport", "round trip", "loss"}, rows)
}
