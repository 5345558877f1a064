// Package config is the settings of a control replica: flags over environment over file over defaults.
package config

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/goccy/go-yaml"
	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/outbound"
	"github.com/warrenedge/warren/controlplane/valkeylink"
	"github.com/warrenedge/warren/shared/settings"
)

// Roles of a replica.
const (
	RoleAPI    = "api"    // REST
	RolePush   = "push"   // streams to nodes and connectors, joining
	RoleWorker = "worker" // what has to be done without being asked: see ARCHITECTURE.md, "What the worker does"
)

// AllRoles is what a replica does unless it is told otherwise.
var AllRoles = []string{RoleAPI, RolePush, RoleWorker}

// Secret does not print.
type Secret string

func (Secret) String() string                 { return "(secret)" }
func (s Secret) GoString() string             { return s.String() }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(s.String()) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Config is the settings of warren-control.
type Config struct {
	DatabaseURL      Secret   `yaml:"database_url" env:"DATABASE_URL"`             // libpq connection string
	ValkeyURL        Secret   `yaml:"valkey_url" env:"VALKEY_URL"`                 // needed as soon as there is a second replica
	KEKFile          string   `yaml:"kek_file" env:"KEK_FILE"`                     // key-encryption key, as warren-control new-kek prints it
	KEKCommand       []string `yaml:"kek_command" env:"KEK_COMMAND"`               // instead of KEKFile: a program, with arguments, that prints it
	KEK              Secret   `yaml:"-" env:"KEK,unset"`                           // instead of KEKFile: the keyset itself; WARREN_KEK works, too
	BootstrapKeyFile string   `yaml:"bootstrap_key_file" env:"BOOTSTRAP_KEY_FILE"` // where the first API key of a fresh cluster goes; standard output if empty
	Roles            []string `yaml:"roles" env:"ROLES"`
	ReplicaID        string   `yaml:"replica_id" env:"REPLICA_ID"` // unique among the replicas; hostname and random letters if empty
	APITLSCert       string   `yaml:"api_tls_cert" env:"API_TLS_CERT"`
	APITLSKey        string   `yaml:"api_tls_key" env:"API_TLS_KEY"`
	APIInsecure      bool     `yaml:"api_insecure" env:"API_INSECURE"`           // plain HTTP beyond loopback
	DNSRoots         []string `yaml:"dns_roots" env:"DNS_ROOTS"`                 // name servers of the root for checks of domains; those of the internet if empty
	ChallengeAway    string   `yaml:"challenge_away" env:"CHALLENGE_AWAY"`       // nodes that are away when a challenge is to be answered: withdraw goes on without them if they answer nothing, wait waits
	OutboundNetworks []string `yaml:"outbound_networks" env:"OUTBOUND_NETWORKS"` // private networks, or loopback, that webhooks may reach all the same
	TrustedProxies   []string `yaml:"trusted_proxies" env:"TRUSTED_PROXIES"`     // networks of proxies before the API and the pages, whose X-Forwarded-For is believed
	QueuePollOnly    bool     `yaml:"queue_poll_only" env:"QUEUE_POLL_ONLY"`     // no LISTEN for jobs: where a transaction pooler stands before PostgreSQL
	URL              string   `yaml:"url" env:"URL"`                             // where people reach the pages and the API, such as https://control.example.org; nobody can sign in without
	SetupTokenFile   string   `yaml:"setup_token_file" env:"SETUP_TOKEN_FILE"`   // where the first setup link of a fresh cluster goes; standard output if empty
	PushAddresses    []string `yaml:"push_addresses" env:"PUSH_ADDRESSES"`       // host:port where nodes and connectors reach the push port, as pages tell; if empty, the host of url and the port of listen.push
	Mail             Mail     `yaml:"mail" envPrefix:"MAIL_"`
	Listen           Listen   `yaml:"listen" envPrefix:"LISTEN_"`
	LogFormat        string   `yaml:"log_format" env:"LOG_FORMAT"` // text or json
	LogLevel         string   `yaml:"log_level" env:"LOG_LEVEL"`
}

// Listen is where a replica listens.
type Listen struct {
	API   string `yaml:"api" env:"API"`
	Push  string `yaml:"push" env:"PUSH"`
	Admin string `yaml:"admin" env:"ADMIN"` // metrics, health, profiles; "" for none
}

// Mail is how invitations and links to reset passwords are sent.
type Mail struct {
	Server   string `yaml:"server" env:"SERVER"`     // host:port; "": links are shown to who makes them
	Security string `yaml:"security" env:"SECURITY"` // starttls, tls or none
	Username string `yaml:"username" env:"USERNAME"`
	Password Secret `yaml:"password" env:"PASSWORD"`
	From     string `yaml:"from" env:"FROM"`
	CAFile   string `yaml:"ca_file" env:"CA_FILE"`
}

// Options are what package mail takes.
func (m Mail) Options() mail.Options {
	return mail.Options{Server: m.Server, Security: mail.Security(m.Security), Username: m.Username, Password: m.Password.Reveal(), From: m.From, CAFile: m.CAFile}
}

// Pages is URL, nil if it is empty. What is behind the host has no meaning.
func (c *Config) Pages() (*url.URL, error) {
	if c.URL == "" {
		return nil, nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(net.JoinHostPort(u.Hostname(), "0"))) {
		return nil, fmt.Errorf("url: %q, want https://host or https://host:port (http for localhost only: browsers keep the cookies of nothing else)", c.URL)
	}
	u.Path, u.Host = "", strings.ToLower(u.Host)
	if u.Scheme == "https" { // browsers leave it out
		u.Host = strings.TrimSuffix(u.Host, ":443")
	}
	return u, nil
}

// PushAt is where nodes and connectors reach the push port, as far as is known.
func (c *Config) PushAt() []string {
	if len(c.PushAddresses) > 0 {
		return c.PushAddresses
	}
	host, port, err := net.SplitHostPort(c.Listen.Push)
	if err != nil {
		return nil
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		u, err := c.Pages()
		if err != nil || u == nil {
			return nil
		}
		host = u.Hostname()
	}
	return []string{net.JoinHostPort(host, port)}
}

// Load reads settings: defaults, then the file if path is not "", then WARREN_CONTROL_… variables.
func Load(path string) (*Config, error) {
	c := &Config{
		Roles: AllRoles, ChallengeAway: "withdraw", LogFormat: "text", LogLevel: "info",
		Mail:   Mail{Security: "starttls"},
		Listen: Listen{API: "127.0.0.1:8080", Push: ":8443", Admin: "127.0.0.1:9090"},
	}
	if path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("settings: %w", err)
		}
		if err := settings.OneDocument(b); err != nil {
			return nil, fmt.Errorf("settings %s: %w", path, err)
		}
		err = yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(c)
		if err != nil && !errors.Is(err, io.EOF) { // an empty file is no mistake
			// Without the lines around it: they hold passwords.
			return nil, fmt.Errorf("settings %s: %s", path, yaml.FormatError(err, false, false))
		}
	}
	if err := settings.Environment("WARREN_CONTROL_", c); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	if err := env.ParseWithOptions(c, env.Options{Prefix: "WARREN_CONTROL_"}); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	if kek := os.Getenv("WARREN_KEK"); c.KEK == "" {
		c.KEK = Secret(kek)
	}
	_ = os.Unsetenv("WARREN_KEK") // nobody else needs to see it
	if c.ReplicaID == "" {
		c.ReplicaID = freshReplica()
	}
	return c, nil
}

func freshReplica() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "control"
	}
	host, _, _ = strings.Cut(host, ".")
	b := make([]byte, 4)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return host + "-" + hex.EncodeToString(b)
}

// What pages write into commands to paste.
var (
	pushAddress = regexp.MustCompile(`^[A-Za-z0-9.:-]+$`)
	portSyntax  = regexp.MustCompile(`^[0-9]{1,5}$`)
)

var replicaSyntax = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$`)

// Has reports whether the replica has a role.
func (c *Config) Has(role string) bool { return slices.Contains(c.Roles, role) }

// Roots are DNSRoots as addresses.
func (c *Config) Roots() []netip.Addr {
	var out []netip.Addr
	for _, r := range c.DNSRoots {
		if a, err := netip.ParseAddr(r); err == nil { // Validate says so
			out = append(out, a)
		}
	}
	return out
}

// Outbound is what webhooks may reach besides the internet.
func (c *Config) Outbound() outbound.Policy {
	var p outbound.Policy
	for _, n := range c.OutboundNetworks {
		if prefix, err := netip.ParsePrefix(n); err == nil { // Validate says so
			p.Allowed = append(p.Allowed, prefix)
		}
	}
	return p
}

// Validate says everything that is wrong.
func (c *Config) Validate() error {
	var errs []error
	if c.DatabaseURL == "" {
		errs = append(errs, errors.New("database_url: missing"))
	}
	if n := given(c.KEKFile != "", len(c.KEKCommand) > 0, c.KEK != ""); n != 1 {
		errs = append(errs, fmt.Errorf("kek_file, kek_command, WARREN_KEK: %d of them are set, want one; warren-control new-kek makes a key", n))
	}
	if _, err := c.Pages(); err != nil {
		errs = append(errs, err)
	}
	for i, a := range c.PushAddresses {
		if host, port, err := net.SplitHostPort(a); err != nil || !pushAddress.MatchString(host) || !portSyntax.MatchString(port) {
			errs = append(errs, fmt.Errorf("push_addresses[%d]: %q, want host:port", i, a))
		}
	}
	if c.Mail.Server != "" {
		if err := c.Mail.Options().Validate(); err != nil {
			errs = append(errs, fmt.Errorf("mail.%w", err))
		}
	}
	if len(c.Roles) == 0 {
		errs = append(errs, errors.New("roles: none"))
	}
	for i, r := range c.Roles {
		if !slices.Contains(AllRoles, r) {
			errs = append(errs, fmt.Errorf("roles[%d]: %q, want %s", i, r, strings.Join(AllRoles, ", ")))
		}
	}
	if !replicaSyntax.MatchString(c.ReplicaID) {
		errs = append(errs, fmt.Errorf("replica_id: %q, want letters, digits, dots, hyphens, underscores, 80 at most", c.ReplicaID))
	}
	if (c.APITLSCert == "") != (c.APITLSKey == "") {
		errs = append(errs, errors.New("api_tls_cert, api_tls_key: want both or none"))
	}
	if c.ValkeyURL != "" {
		if err := valkeylink.Check(c.ValkeyURL.Reveal()); err != nil {
			errs = append(errs, fmt.Errorf("valkey_url: %w", err))
		}
	}
	if c.ChallengeAway != "withdraw" && c.ChallengeAway != "wait" {
		errs = append(errs, fmt.Errorf("challenge_away: %q, want withdraw or wait", c.ChallengeAway))
	}
	for i, r := range c.DNSRoots {
		if _, err := netip.ParseAddr(r); err != nil {
			errs = append(errs, fmt.Errorf("dns_roots[%d]: %q, want an IP address", i, r))
		}
	}
	for i, n := range c.TrustedProxies {
		if p, err := netip.ParsePrefix(n); err != nil || p != p.Masked() || p.Bits() == 0 {
			errs = append(errs, fmt.Errorf("trusted_proxies[%d]: %q, want a network like 10.1.2.0/24", i, n))
		}
	}
	for i, n := range c.OutboundNetworks {
		if _, err := netip.ParsePrefix(n); err != nil {
			errs = append(errs, fmt.Errorf("outbound_networks[%d]: %q, want a network like 10.1.0.0/16", i, n))
		}
	}
	for _, l := range []struct{ field, addr string }{{"api", c.Listen.API}, {"push", c.Listen.Push}, {"admin", c.Listen.Admin}} {
		if l.addr == "" && l.field == "admin" {
			continue
		}
		if _, port, err := net.SplitHostPort(l.addr); err != nil || port == "" {
			errs = append(errs, fmt.Errorf("listen.%s: %q, want host:port", l.field, l.addr))
		}
	}
	if c.Has(RoleAPI) && c.APITLSCert == "" && !c.APIInsecure && !loopback(c.Listen.API) {
		errs = append(errs, fmt.Errorf("listen.api: %s is not loopback, and keys would travel in the clear: set api_tls_cert and api_tls_key, or api_insecure: true where a balancer ends TLS", c.Listen.API))
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		errs = append(errs, fmt.Errorf("log_format: %q, want text or json", c.LogFormat))
	}
	if _, err := level(c.LogLevel); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Logger makes the program's log: one line an event, in colour on a terminal.
func (c *Config) Logger(w *os.File) *slog.Logger {
	l, err := level(c.LogLevel)
	if err != nil {
		l = slog.LevelInfo // Validate has said so
	}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l}))
	}
	colour := term.IsTerminal(int(w.Fd())) && os.Getenv("NO_COLOR") == ""
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: l, NoColor: !colour, TimeFormat: "2006-01-02T15:04:05.000Z07:00"}))
}

// Reveal is the text, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

func level(s string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(s)); err != nil {
		return l, fmt.Errorf("log_level: %q, want debug, info, warn or error", s)
	}
	return l, nil
}

// Proxies are the networks of TrustedProxies, as Validate has checked them.
func (c *Config) Proxies() []netip.Prefix {
	var out []netip.Prefix
	for _, n := range c.TrustedProxies {
		if p, err := netip.ParsePrefix(n); err == nil {
			out = append(out, p)
		}
	}
	return out
}
