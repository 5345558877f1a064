package cli

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/up"
)

func (a *app) upCommand() *cobra.Command {
	var o up.Options
	cmd := &cobra.Command{
		Use: "up", Short: "Run a whole cluster on this machine, with a sample service", Args: cobra.NoArgs,
		Long: "Run a whole cluster on this machine: a private PostgreSQL, a control plane, two nodes, a connector and a sample service.\n" +
			"It needs no privileges and no network; everything listens on loopback. The state survives a restart.",
		Example: "  warren up\n  warren up --ephemeral",
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			if o.Bin == "" {
				o.Bin = filepath.Dir(self)
			}
			if o.Dir == "" {
				if o.Dir, err = stateDir(); err != nil {
					return err
				}
			}
			o.Out = a.out
			if ns, err := strconv.ParseInt(os.Getenv("WARREN_UP_SINCE"), 10, 64); err == nil { // make run
				o.Since = time.Unix(0, ns)
			}
			return up.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "state-dir", "", "`folder` that keeps the cluster (default /var/lib/warren-up for root, else $XDG_STATE_HOME/warren-up)")
	f.BoolVar(&o.Ephemeral, "ephemeral", false, "use a temporary folder and leave nothing behind")
	f.StringVar(&o.Bin, "bin-dir", "", "`folder` of warren-control, warren-node and warren-connector (default: where warren is)")
	f.StringVar(&o.Postgres, "postgres-bin", "", "`folder` of initdb and postgres (default: the newest that is installed)")
	return cmd
}

func stateDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/warren-up", nil // PostgreSQL runs as another account, which may not enter root's home
	}
	if d := os.Getenv("XDG_STATE_HOME"); d != "" {
		return filepath.Join(d, "warren-up"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home directory, give --state-dir: %w", err)
	}
	return filepath.Join(home, ".local", "state", "warren-up"), nil
}

// sampleCommand is the web service that "warren up" publishes.
func sampleCommand() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use: "sample-service", Short: "Run the sample web service", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			srv := &http.Server{Addr: listen, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain; charset=utf-8")
				fmt.Fprintf(w, "%s.\n\nhost    %s\npath    %s\nclient  %s\n", up.Greeting, r.Host, r.URL.Path, r.Header.Get("X-Forwarded-For"))
			})}
			go func() {
				<-cmd.Context().Done()
				_ = srv.Close()
			}()
			if err := srv.ListenAndServe(); err != nil && cmd.Context().Err() == nil {
				return err
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:7090", "address")
	return cmd
}
