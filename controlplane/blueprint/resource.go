package blueprint

import (
	"fmt"
	"strconv"
	"strings"
)

// resource makes a service, its targets, and a policy if it has rules or ways in of its own.
func (c *converter) resource(where, key string, r *resource, policies map[string]bool) {
	if r == nil {
		c.note(where, LeftOut, "nothing in it")
		return
	}
	mode := r.Mode
	if mode == "" {
		mode = r.Protocol
	}
	c.unknown(where, *r)
	if !enabled(r.Enabled) {
		c.note(where, LeftOut, "it is not enabled")
		return
	}
	spec := map[string]any{"kind": mode, "pool": c.Pool}
	switch mode {
	case "http":
		if r.Domain == "" {
			c.note(where+".full-domain", LeftOut, "missing: an http resource has a name")
			return
		}
		spec["hostname"] = strings.ToLower(r.Domain)
		c.note(where+".full-domain", Look, "%s has to stand in a domain of the organization: warren create domain …", r.Domain)
	case "tcp", "udp":
		if r.Port < 1 || r.Port > 65535 {
			c.note(where+".proxy-port", LeftOut, "missing: a %s resource has a port", mode)
			return
		}
		spec["ports"] = strconv.Itoa(r.Port)
	case "":
		c.note(where, LeftOut, "targets for a resource that is described elsewhere: import them together")
		return
	default:
		c.note(where+".mode", LeftOut, "there is no %q here", mode)
		return
	}
	name := c.name("Service", where, key)
	if mode == "http" {
		policy, ok := c.access(where, name, r, policies)
		if !ok {
			return
		}
		if policy != "" {
			spec["policy"] = policy
		}
		c.delivery(where, r, spec)
	} else if r.Auth != nil || len(r.Rules) > 0 || r.Policy != "" {
		c.note(where, LeftOut, "it says who may come, which a %s resource can't", mode)
		return
	}
	if r.Proxied {
		spec["proxy_protocol"] = max(r.ProxyVersion, 1)
	}
	c.add("Service", name, spec)
	for i, t := range r.Targets {
		c.target(fmt.Sprintf("%s.targets[%d]", where, i), name, mode, t, r)
	}
}

// delivery is how requests are changed on the way, and what is shown instead.
func (c *converter) delivery(where string, r *resource, spec map[string]any) {
	d := map[string]any{}
	if r.Host != "" {
		d["host"] = r.Host
	}
	if set := append(fields(r.Headers), fields(r.RequestHeaders)...); len(set) > 0 {
		d["request"] = map[string]any{"set": set}
	}
	if set := fields(r.ResponseHeaders); len(set) > 0 {
		d["response"] = map[string]any{"set": set}
	}
	if len(d) > 0 {
		spec["delivery"] = d
	}
	if r.SSL != nil && !*r.SSL {
		c.note(where+".ssl", Changed, "names are served over TLS alone; port 80 sends browsers there")
	}
	m := r.Maintenance
	if m == nil || !m.Enabled {
		return
	}
	c.unknown(where+".maintenance", *m)
	show := "unavailable"
	if m.Type == "forced" {
		show = "always"
	}
	text := strings.TrimSpace(m.Message)
	if m.Estimated != "" {
		text = strings.TrimSpace(text + "\n" + m.Estimated)
	}
	page := map[string]any{"show": show}
	if m.Title != "" {
		page["title"] = m.Title
	}
	if text != "" {
		page["message"] = text
	}
	spec["maintenance"] = page
}

func fields(list []header) (out []any) {
	for _, h := range list {
		out = append(out, map[string]any{"name": h.Name, "value": h.Value})
	}
	return out
}

func (c *converter) target(where, service, mode string, t target, r *resource) {
	c.unknown(where, t)
	siteOf := t.Site
	if siteOf == "" {
		siteOf = c.Site
	}
	rewrite := t.Rewrite + t.RewriteOld
	strips := t.RewriteMatch == "stripPrefix" || t.RewriteMatch == "prefix" && rewrite == "/"
	switch {
	case !enabled(t.Enabled):
		c.note(where, LeftOut, "it is not enabled")
		return
	case siteOf == "":
		c.note(where+".site", LeftOut, "missing: say --site for targets that name none")
		return
	case t.Hostname == "" || t.Port == 0:
		c.note(where, LeftOut, "hostname or port is missing: Pangolin takes them from the container")
		return
	case t.Path != "" && t.PathMatch != "" && t.PathMatch != "prefix":
		c.note(where+".path-match", LeftOut, "targets are chosen by prefixes of whole segments, not by %q", t.PathMatch)
		return
	case (rewrite != "" || t.RewriteMatch != "") && !strips:
		c.note(where+".rewrite-path", LeftOut, "a prefix can be cut off, not replaced")
		return
	}
	spec := map[string]any{"service": service, "site": siteName(siteOf), "address": t.Hostname, "port": t.Port}
	if mode == "http" {
		if p := "/" + strings.Trim(t.Path, "/"); p != "/" {
			spec["path_prefix"] = p
		}
		if strips && spec["path_prefix"] != nil {
			spec["strip_prefix"] = true
		}
		switch t.Method {
		case "https":
			spec["scheme"] = "https"
			if r.ServerName != "" {
				spec["server_name"] = strings.ToLower(r.ServerName)
			}
		case "h2c":
			spec["scheme"] = "h2c"
		}
	}
	if t.Priority != 0 && t.Priority != 100 {
		c.note(where+".priority", Changed, "the longest prefix is tried first")
	}
	if t.Check != nil && enabled(t.Check.Enabled) {
		if mode == "udp" {
			c.note(where+".healthcheck", LeftOut, "targets of udp services are not checked")
		} else {
			spec["health_check"] = c.check(where+".healthcheck", t)
		}
	}
	c.add("Target", c.name("Target", where, service), spec)
}

// check keeps times within what a check may take.
func (c *converter) check(where string, t target) map[string]any {
	k := t.Check
	c.unknown(where, *k)
	if k.Hostname != "" && k.Hostname != t.Hostname || k.Port != 0 && k.Port != t.Port {
		c.note(where, Changed, "the target itself is checked, not %s:%d", k.Hostname, k.Port)
	}
	interval := min(max(k.Interval, 1), 3600)
	if k.Interval == 0 {
		interval = 30
	}
	timeout := k.Timeout
	if timeout == 0 {
		timeout = 5
	}
	interval = max(interval, 2) // a timeout of whole seconds is shorter
	out := map[string]any{
		"kind": "http", "interval": fmt.Sprintf("%ds", interval), "timeout": fmt.Sprintf("%ds", min(timeout, interval-1)),
		"healthy_threshold": max(k.Healthy, 1), "unhealthy_threshold": max(k.Unhealthy, 1),
	}
	if k.Mode == "tcp" {
		out["kind"] = "tcp"
		return out
	}
	if k.Path != "" {
		out["path"] = k.Path
	}
	if k.Method != "" {
		out["method"] = strings.ToUpper(k.Method)
	}
	if k.Status != 0 {
		out["expected_statuses"] = []string{strconv.Itoa(k.Status)}
	}
	if k.Scheme == "https" || k.Scheme == "" && t.Method == "https" {
		out["tls"] = true
	}
	if len(k.Headers) > 0 {
		headers := map[string]any{}
		for _, h := range k.Headers {
			headers[h.Name] = h.Value
		}
		out["headers"] = headers
	}
	return out
}
