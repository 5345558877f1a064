//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/warrenedge/warren/test/lab"
)

// From the empty console of a new organization to a URL that works, in a real cluster: three clicks, one pasted command, and the
// page goes on by itself when the connector is there. What is typed meanwhile stays, and when the connector is gone the page of
// the service says so.
func TestBrowserWizard(t *testing.T) {
	v := newVisited(t)
	v.warren("", "create", "org", "acme", "--trusted")
	_, port, _ := strings.Cut(strings.TrimPrefix(v.service, "https://"), ":")
	c := newChromium(t, "*.acme.test")
	home := strings.Split(v.setup, "/setup")[0]
	c.do("sign in", chromedp.Navigate(home+"/console"), titled("Sign in"), chromedp.SendKeys("#email", "ann@example.org"),
		chromedp.SendKeys("#password", "correct horse battery staple 9"), chromedp.Click("form.card button"), chromedp.WaitVisible("#find", chromedp.ByQuery))
	c.do("the empty console", chromedp.Navigate(home+"/console/orgs/acme/"), titled("acme"), chromedp.WaitVisible(`//h2[text()="From here to a working address"]`, chromedp.BySearch))

	begun := time.Now()
	var command string
	c.do("to the command", chromedp.Click(`ol.steps a[href$="/connect"]`, chromedp.ByQuery), chromedp.WaitVisible("#f-site", chromedp.ByQuery),
		chromedp.Click("main form button", chromedp.ByQuery), chromedp.WaitVisible("#command", chromedp.ByQuery), chromedp.Text("#command", &command))
	connector := paste(t, v, command)
	connected := chromedp.WaitVisible(`//span[contains(text(), "is connected by")]`, chromedp.BySearch)
	c.do("by itself to the service", connected, chromedp.WaitVisible("#f-address", chromedp.ByQuery))
	green := time.Since(begun)

	var typed, focused string
	c.do("type a part", chromedp.SendKeys("#f-address", "127.0."))
	connector.stop()
	c.do("while the connector goes", chromedp.WaitVisible(`//span[contains(text(), "Waiting for")]`, chromedp.BySearch), chromedp.KeyEvent("0.1"))
	connector = paste(t, v, command)
	c.do("and comes back", connected, chromedp.Value("#f-address", &typed), chromedp.Evaluate("document.activeElement.id", &focused))
	if typed != "127.0.0.1" || focused != "f-address" {
		t.Errorf("%q was typed, %q has the focus", typed, focused)
	}
	again := time.Now()
	c.do("publish", chromedp.SendKeys("#f-port", strconv.Itoa(upgrading(t))), chromedp.SendKeys("#f-hostname", "wiki.acme.test"), chromedp.SendKeys("#f-domain", "acme.test"),
		chromedp.Click("#publish button", chromedp.ByQuery), titled("wiki"))
	var service string
	c.do("the service", chromedp.Location(&service))
	lab.Eventually(t, patience, "the URL works", func() error {
		var body string
		if err := chromedp.Run(c.ctx, chromedp.Navigate("https://wiki.acme.test:"+port+"/"), chromedp.Evaluate("document.body.innerText", &body)); err != nil {
			return err
		}
		if body != "a page" {
			return fmt.Errorf("the browser shows %q", body)
		}
		return nil
	})
	fmt.Printf("{\"bench\":\"wizard\",\"to_green_s\":%.2f,\"to_url_s\":%.2f,\"wanted\":\"green within 30 s\"}\n", green.Seconds(), (green + time.Since(again)).Seconds())

	broken := chromedp.WaitVisible(`//strong[contains(text(), "no connector is connected")]`, chromedp.BySearch)
	c.do("the service is well", chromedp.Navigate(service), chromedp.WaitVisible(`//dd/span[contains(@class, "badge good")]`, chromedp.BySearch))
	connector.stop()
	gone := time.Now()
	c.do("the hop that breaks is named", broken)
	fmt.Printf("{\"bench\":\"console_names_broken_hop\",\"after_s\":%.2f,\"wanted\":\"within 10 s\"}\n", time.Since(gone).Seconds())
	v.interrupt(t)
}

// pasted is a command of the wizard that runs in a terminal.
type pasted struct {
	t     *testing.T
	cmd   *exec.Cmd
	words output
	over  bool
}

// paste runs a command of the wizard in a terminal, as it is, until it is stopped or the test is over.
func paste(t *testing.T, v *visited, command string) *pasted {
	t.Helper()
	p := &pasted{t: t, cmd: exec.Command("sh", "-c", command)}
	p.cmd.Env = []string{"HOME=" + v.dir, "PATH=" + filepath.Join(v.dir, "bin") + ":" + os.Getenv("PATH"), "WARREN_CONNECTOR_TUNNEL=netstack"} // no root needed
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stdout, p.cmd.Stderr = &p.words, &p.words
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

func (p *pasted) stop() {
	if p.over {
		return
	}
	p.over = true
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	_ = p.cmd.Wait()
	if p.t.Failed() {
		p.t.Logf("the connector:\n%s", &p.words)
	}
}
