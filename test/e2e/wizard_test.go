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

// From the console's start page to a URL that works, in a real cluster: three clicks, one pasted command, and the page goes on by
// itself when the connector is there.
func TestBrowserWizard(t *testing.T) {
	v := newVisited(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(v.service, "https://"), ":")
	c := newChromium(t, "*.localhost")
	home := strings.Split(v.setup, "/setup")[0]
	c.do("sign in", chromedp.Navigate(home+"/console"), titled("Sign in"), chromedp.SendKeys("#email", "ann@example.org"),
		chromedp.SendKeys("#password", "correct horse battery staple 9"), chromedp.Click("form.card button"), chromedp.WaitVisible("#find", chromedp.ByQuery))

	begun := time.Now()
	var command, hostname string
	c.do("to the command", chromedp.Navigate(home+"/console/orgs/default/connect"), chromedp.WaitVisible("#f-site", chromedp.ByQuery), chromedp.Click("main form button", chromedp.ByQuery),
		chromedp.WaitVisible("#command", chromedp.ByQuery), chromedp.Text("#command", &command))
	paste(t, v, command)
	c.do("by itself to the service", chromedp.WaitVisible(`//span[contains(text(), "is connected by")]`, chromedp.BySearch), chromedp.WaitVisible("#f-address", chromedp.ByQuery))
	green := time.Since(begun)
	c.do("publish", chromedp.SendKeys("#f-address", "127.0.0.1"), chromedp.SendKeys("#f-port", strconv.Itoa(upgrading(t))), chromedp.Value("#f-hostname", &hostname),
		chromedp.Click("#publish button", chromedp.ByQuery), chromedp.WaitVisible(`//p[contains(text(), "is published")] | //h1[text()="`+strings.Split(hostname, ".")[0]+`"]`, chromedp.BySearch))
	lab.Eventually(t, patience, "the URL works", func() error {
		var body string
		if err := chromedp.Run(c.ctx, chromedp.Navigate("https://"+hostname+":"+port+"/"), chromedp.Evaluate("document.body.innerText", &body)); err != nil {
			return err
		}
		if body != "a page" {
			return fmt.Errorf("the browser shows %q", body)
		}
		return nil
	})
	fmt.Printf("{\"bench\":\"wizard\",\"to_green_s\":%.2f,\"to_url_s\":%.2f,\"wanted\":\"green within 30 s\"}\n", green.Seconds(), time.Since(begun).Seconds())
	v.interrupt(t)
}

// paste runs a command of the wizard in a terminal, as it is, until the test is over.
func paste(t *testing.T, v *visited, command string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = []string{"HOME=" + v.dir, "PATH=" + filepath.Join(v.dir, "bin") + ":" + os.Getenv("PATH"), "WARREN_CONNECTOR_TUNNEL=netstack"} // no root needed
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var words output
	cmd.Stdout, cmd.Stderr = &words, &words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the connector:\n%s", &words)
		}
	})
}
