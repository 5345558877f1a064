package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"
)

// member is a node or connector in the status.
type member struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Site    string `json:"site"`
	State   string `json:"state"`
	Applied uint64 `json:"applied_revision"`
	Replica string `json:"replica"`
	Version string `json:"version"`
	Up      int    `json:"tunnels_up"`
	Tunnels int    `json:"tunnels"`

	Rejected int `json:"rejected"`
	Omitted  int `json:"rejected_omitted"`

	States []tunnelState `json:"tunnel_states"`
	Alarm  *struct {
		Text string `json:"text"`
	} `json:"alarm"`
}

// tunnelState is a tunnel as one of its ends sees it.
type tunnelState struct {
	Peer      string   `json:"peer"`
	Up        bool     `json:"up"`
	RoundTrip *float64 `json:"round_trip_ms"`
	Loss      float64  `json:"loss"`
	Carrier   string   `json:"carrier"`
	Transport string   `json:"transport"`
}

// measured reports whether the end says more of the tunnel than that it is there.
func (t tunnelState) measured() bool {
	return t.RoundTrip != nil || t.Carrier != "" || t.Transport != ""
}

// clusterStatus is the answer of GET /api/v1/status.
type clusterStatus struct {
	Revision   uint64   `json:"revision"`
	Nodes      []member `json:"nodes"`
	Connectors []member `json:"connectors"`
	Targets    targets  `json:"targets"`
	Replicas   []struct {
		ID   string `json:"id"`
		Self bool   `json:"self"`
	} `json:"replicas"`
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
			var raw json.RawMessage
			if _, err := s.Do(cmd.Context(), http.MethodGet, "/api/v1/status", nil, &raw); err != nil {
				return err
			}
			var st clusterStatus
			if err := json.Unmarshal(raw, &st); err != nil {
				return err
			}
			if a.structured() {
				err = a.print(raw)
			} else {
				err = a.showStatus(st)
			}
			if err != nil {
				return err
			}
			for _, m := range append(st.Nodes, st.Connectors...) {
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

func (a *app) showStatus(st clusterStatus) error {
	fmt.Fprintf(a.out, "revision %d, %d control replica(s)\n\n", st.Revision, len(st.Replicas))
	var rows [][]string
	row := func(kind string, m member) {
		rows = append(rows, []string{kind, m.Name, m.State, strconv.FormatUint(m.Applied, 10), fmt.Sprintf("%d of %d", m.Up, m.Tunnels), m.Replica, m.Version})
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
	for _, m := range append(st.Nodes, st.Connectors...) {
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
func (a *app) showRejected(st clusterStatus) {
	for _, m := range append(st.Nodes, st.Connectors...) {
		if m.Rejected == 0 {
			continue
		}
		fmt.Fprintf(a.out, "\n%s: %d resource(s) rejected, see: warren snapshot %s\n", m.Name, m.Rejected, m.ID)
		if m.Omitted > 0 {
			fmt.Fprintf(a.out, "%s: %d more rejected, not listed\n", m.Name, m.Omitted)
		}
	}
}

// showTunnels lists each tunnel as its connector sees it, once somebody measures; -o wide has the nodes' side, too.
// By what carrier streams go is for the node to choose.
func (a *app) showTunnels(st clusterStatus) error {
	names := map[string]string{}
	for _, m := range append(st.Nodes, st.Connectors...) {
		names[m.ID] = m.Name
	}
	type ends struct{ node, connector string }
	chosen := map[ends]string{}
	for _, m := range st.Nodes {
		for _, t := range m.States {
			chosen[ends{m.ID, t.Peer}] = t.Carrier
		}
	}
	var rows [][]string
	measured := false
	add := func(kind string, m member) {
		for _, t := range m.States {
			measured = measured || t.measured()
			state, trip, loss := "down", "", ""
			if t.Up {
				state = "up"
			}
			if t.RoundTrip != nil {
				trip, loss = fmt.Sprintf("%.1f ms", *t.RoundTrip), fmt.Sprintf("%.1f %%", 100*t.Loss)
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
	if !measured {
		return nil
	}
	fmt.Fprintln(a.out)
	return a.table([]string{"tunnel of", "to", "state", "carrier", "transport", "round trip", "loss"}, rows)
}
