package docker

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/warrenedge/warren/shared/hostname"
)

// field is one word that labels of a service may end with: that of the field in a manifest.
type field struct {
	ofService bool // all containers of the service have to agree on it
	read      func(s *Service, t *Target, value string) error
}

var fields = map[string]field{
	"kind": {true, func(s *Service, _ *Target, v string) error { return oneOf(&s.Kind, v, "http", "tls", "tcp", "udp") }},
	"hostname": {true, func(s *Service, _ *Target, v string) (err error) {
		s.Hostname, err = hostname.CanonicalPattern(v)
		return err
	}},
	"pool":   {true, func(s *Service, _ *Target, v string) error { return word(&s.Pool, v) }},
	"policy": {true, func(s *Service, _ *Target, v string) error { return word(&s.Policy, v) }},
	"ports":  {true, func(s *Service, _ *Target, v string) error { return portRange(&s.Ports, v) }},
	"allow":  {true, func(s *Service, _ *Target, v string) error { return networks(&s.Allow, v) }},
	"proxy_protocol": {true, func(s *Service, _ *Target, v string) error {
		return number(&s.ProxyProtocol, v, 0, 2)
	}},
	"terminate": {true, func(s *Service, _ *Target, v string) error { return yesNo(&s.Terminate, v) }},

	"port":        {false, func(_ *Service, t *Target, v string) error { return number(&t.Port, v, 1, 65535) }},
	"path_prefix": {false, func(_ *Service, t *Target, v string) error { return path(&t.PathPrefix, v) }},
	"weight":      {false, func(_ *Service, t *Target, v string) error { return number(&t.Weight, v, 1, 1000) }},
	"scheme":      {false, func(_ *Service, t *Target, v string) error { return oneOf(&t.Scheme, v, "http", "https", "h2c") }},
	"server_name": {false, func(_ *Service, t *Target, v string) (err error) {
		t.ServerName, err = hostname.Canonical(v)
		return err
	}},
	"strip_prefix": {false, func(_ *Service, t *Target, v string) error { return yesNo(&t.StripPrefix, v) }},

	"health_check.kind":                check(func(h *HealthCheck, v string) error { return oneOf(&h.Kind, v, "tcp", "http") }),
	"health_check.interval":            check(func(h *HealthCheck, v string) error { return span(&h.Interval, v) }),
	"health_check.timeout":             check(func(h *HealthCheck, v string) error { return span(&h.Timeout, v) }),
	"health_check.healthy_threshold":   check(func(h *HealthCheck, v string) error { return number(&h.HealthyThreshold, v, 1, 100) }),
	"health_check.unhealthy_threshold": check(func(h *HealthCheck, v string) error { return number(&h.UnhealthyThreshold, v, 1, 100) }),
	"health_check.method":              check(func(h *HealthCheck, v string) error { return word(&h.Method, v) }),
	"health_check.path":                check(func(h *HealthCheck, v string) error { return path(&h.Path, v) }),
	"health_check.host":                check(func(h *HealthCheck, v string) error { return word(&h.Host, v) }),
	"health_check.expected_statuses":   check(func(h *HealthCheck, v string) error { h.ExpectedStatuses = list(v); return nil }),
	"health_check.body_contains":       check(func(h *HealthCheck, v string) error { return word(&h.BodyContains, v) }),
	"health_check.tls":                 check(func(h *HealthCheck, v string) error { return yesNo(&h.TLS, v) }),
}

func check(read func(h *HealthCheck, v string) error) field {
	return field{false, func(_ *Service, t *Target, v string) error {
		if t.HealthCheck == nil {
			t.HealthCheck = &HealthCheck{}
		}
		return read(t.HealthCheck, v)
	}}
}

func word(to *string, v string) error {
	if v == "" {
		return errors.New("empty")
	}
	*to = v
	return nil
}

func oneOf(to *string, v string, words ...string) error {
	for _, w := range words {
		if v == w {
			*to = v
			return nil
		}
	}
	return fmt.Errorf("%q, want %s", v, strings.Join(words, ", "))
}

func yesNo(to *bool, v string) error {
	switch v {
	case "true":
		*to = true
	case "false":
		*to = false
	default:
		return fmt.Errorf("%q, want true or false", v)
	}
	return nil
}

func number(to *int, v string, least, most int) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most || strconv.Itoa(n) != v {
		return fmt.Errorf("%q, want a number from %d to %d", v, least, most)
	}
	*to = n
	return nil
}

func path(to *string, v string) error {
	if !strings.HasPrefix(v, "/") {
		return fmt.Errorf("%q, want a path that starts with /", v)
	}
	*to = v
	return nil
}

func span(to *string, v string) error {
	if d, err := time.ParseDuration(v); err != nil || d <= 0 {
		return fmt.Errorf("%q, want a time such as 10s", v)
	}
	*to = v
	return nil
}

func portRange(to *string, v string) error {
	from, last, ranged := strings.Cut(v, "-")
	var first, end int
	if err := number(&first, from, 1, 65535); err != nil {
		return err
	}
	if ranged {
		if err := number(&end, last, first, 65535); err != nil {
			return err
		}
	}
	*to = v
	return nil
}

func networks(to *[]string, v string) error {
	for _, text := range list(v) {
		if _, err := netip.ParseAddr(text); err != nil {
			if _, err := netip.ParsePrefix(text); err != nil {
				return fmt.Errorf("%q is no network: want some such as 192.0.2.0/24,2001:db8::/32", text)
			}
		}
		*to = append(*to, text)
	}
	if len(*to) == 0 {
		return errors.New("empty: it would let everybody in") // who unsets a variable has not meant that
	}
	return nil
}

// list reads values with commas between them.
func list(v string) (out []string) {
	for _, s := range strings.Split(v, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}
