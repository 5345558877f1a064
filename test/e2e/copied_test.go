//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// alarms gives what one control replica says of connectors, by name.
func (c *suite) alarms(replica string) (map[string]string, error) {
	host := c.Lab.Find(replica)
	out, err := host.Command("curl", "-sSf", "-H", "Authorization: Bearer "+c.Key, fmt.Sprintf("http://%s:8080/api/v1/status", host.Addr)).Output()
	if err != nil {
		return nil, err
	}
	var st struct {
		Connectors []struct {
			Name  string `json:"name"`
			Alarm struct {
				Kind string `json:"kind"`
				Text string `json:"text"`
			} `json:"alarm"`
		} `json:"connectors"`
	}
	if err := json.Unmarshal(out, &st); err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, k := range st.Connectors {
		if k.Alarm.Kind != "" {
			all[k.Name] = k.Alarm.Kind + ": " + k.Alarm.Text
		}
	}
	return all, nil
}

// A connector that is restarted, or that roams, is one connector. One whose state directory is copied and started
// elsewhere is two: every replica says so, and what to do.
func TestCopiedConnectorStateRaisesAnAlarm(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	site := c.Sites[0]
	for i := range 3 {
		site.Proc.Kill()
		c.restart(site.Proc)
		c.must(site.Net.ChangeWAN(fmt.Sprintf("198.18.5.10%d", i)))
		c.until("it is back", func() error {
			_, err := c.Warren("status")
			return err
		})
	}
	for _, p := range c.Control {
		if got, err := c.alarms(p.Name); err != nil || len(got) > 0 {
			t.Errorf("%s, before anything was copied: %v, %v", p.Name, got, err)
		}
	}

	copied := filepath.Join(c.Dir, "copied")
	site.Connector.Run("cp", "-a", filepath.Join(c.Dir, site.Name), copied)
	conf := c.write("copied.yaml", fmt.Sprintf("name: %s-con\nstate_dir: %s\ncontrol: [\"198.18.1.10:8443\"]\ntunnel: netstack\n", site.Name, copied))
	bin, err := filepath.Abs("../../bin/warren-connector")
	c.must(err)
	thief := c.Sites[1].Net.Host("thief", "10.77.2.66").Start("thief", nil, bin, "--config", conf)
	for _, p := range c.Control {
		c.until(p.Name+" raises the alarm", func() error {
			got, err := c.alarms(p.Name)
			if text := got[site.Name+"-con"]; err != nil || len(got) != 1 || !strings.Contains(text, "copied: ") || !strings.Contains(text, "warren site revoke "+site.Name+"-con") {
				return fmt.Errorf("%v: %w", got, err)
			}
			return nil
		})
		c.until(p.Name+" logs and counts it", func() error {
			metrics, err := c.Lab.Find(p.Name).Command("curl", "-sS", "http://127.0.0.1:9090/metrics").Output()
			if !strings.Contains(string(metrics), `cp_presence_copied{kind="connector"} 1`) || !strings.Contains(p.Log(), "two processes use one identity") {
				return errors.Join(err, errors.New(p.Tail(20)))
			}
			return nil
		})
	}
	if out, err := c.Warren("status"); err == nil || !strings.Contains(out, "ALARM: several processes use the identity of connector "+site.Name+"-con") {
		t.Errorf("warren status: %v\n%s", err, out)
	}
	if out := c.warren("get", "connectors"); strings.Count(out, "copied") != 1 {
		t.Errorf("warren get connectors:\n%s", out)
	}

	// As it says: revoked, both lose their tunnels.
	c.warren("site", "revoke", site.Name+"-con", "--yes")
	for _, p := range c.Control {
		c.until("the alarm is over", func() error {
			if got, err := c.alarms(p.Name); err != nil || len(got) > 0 {
				return fmt.Errorf("%v: %w", got, err)
			}
			return nil
		})
	}
	if !thief.Running() {
		t.Errorf("the copy did not run until it was revoked:\n%s", thief.Tail(20))
	}
}
