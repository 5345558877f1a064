package blueprint

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/language"
)

// ways are how somebody shows who he is, of a resource or of a shared policy.
type ways struct {
	sso          bool
	roles, users []string
	pin          any
	password     string
	basic        *basic
	mail         []string
}

// access makes the policy of a resource and gives its name; "" is none: everybody may come. It reports whether all of what it
// says could be carried over; a resource of which it could not is left out, as it would be more open than it was, or less.
func (c *converter) access(where, name string, r *resource, policies map[string]bool) (policy string, ok bool) {
	own := r.Auth != nil || len(r.Rules) > 0
	if r.Policy != "" {
		switch carried, known := policies[r.Policy]; {
		case own:
			c.note(where, LeftOut, "it has rules or ways in of its own beside policy %s: write them into one", r.Policy)
			return "", false
		case !known:
			c.note(where+".policy", LeftOut, "%s is not in this file", r.Policy)
			return "", false
		case !carried:
			c.note(where+".policy", LeftOut, "%s could not be carried over", r.Policy)
			return "", false
		}
		return siteName(r.Policy), true
	}
	if !own {
		return "", true
	}
	w := ways{}
	if a := r.Auth; a != nil {
		c.unknown(where+".auth", *a)
		w = ways{a.SSO, a.Roles, a.Users, a.PIN, a.Password, a.Basic, a.Whitelist}
	}
	spec, ok := c.policySpec(where, r.Rules, where+".auth", w)
	if !ok {
		return "", false
	}
	policy = c.name("Policy", where, name)
	c.add("Policy", policy, spec)
	return policy, true
}

// sharedPolicy makes a policy that resources name, and reports whether it could.
func (c *converter) sharedPolicy(where, key string, p *shared) bool {
	if p == nil {
		c.note(where, LeftOut, "nothing in it")
		return false
	}
	c.unknown(where, *p)
	w := ways{p.SSO == nil || *p.SSO, p.Roles, p.Users, p.PIN, p.Password, p.Basic, nil}
	if p.Mailed {
		w.mail = p.Whitelist
	}
	rules := p.Rules
	if !p.ApplyRules && len(rules) > 0 {
		c.note(where+".rules", LeftOut, "they do not apply: apply-rules is off")
		rules = nil
	}
	spec, ok := c.policySpec(where, rules, where, w)
	if !ok {
		return false
	}
	name := siteName(key)
	c.names["Policy/"+name] = where
	c.add("Policy", name, spec)
	return true
}

// policySpec is rules in the order in which they are tried, then the ways in. Pangolin's allow goes past all ways in, its pass
// asks for one, and so does what no rule applies to, if there are any.
func (c *converter) policySpec(where string, rules []rule, authWhere string, w ways) (map[string]any, bool) {
	all := true
	auth := c.auth(authWhere, w, &all)
	spec := map[string]any{"otherwise": "allow"}
	if len(auth) > 0 {
		spec["otherwise"], spec["auth"] = "authenticate", auth
	}
	type placed struct {
		rule
		at, place int
	}
	var in []placed
	for i, r := range rules {
		p := placed{r, i, i + 1}
		if r.Priority != nil {
			p.place = *r.Priority
		}
		if enabled(r.Enabled) {
			in = append(in, p)
		}
	}
	slices.SortStableFunc(in, func(a, b placed) int { return cmp.Compare(a.place, b.place) })
	var out []any
	for _, p := range in {
		at := fmt.Sprintf("%s.rules[%d]", where, p.at)
		m, err := condition(p.rule)
		if err != nil {
			c.note(at, LeftOut, "%v; with it all that it guards: a rule less is another policy", err)
			all = false
			continue
		}
		switch p.Action {
		case "allow", "deny":
			m["action"] = p.Action
		case "pass":
			m["action"] = "authenticate"
			if len(auth) == 0 {
				m["action"] = "allow" // there is nothing to pass on to
			}
		default:
			c.note(at+".action", LeftOut, "%q, want allow, deny or pass; with it all that it guards", p.Action)
			all = false
			continue
		}
		out = append(out, m)
	}
	if len(out) > 0 {
		spec["rules"] = out
	}
	return spec, all
}

// condition is what a rule applies to.
func condition(r rule) (map[string]any, error) {
	m := map[string]any{}
	switch r.Match {
	case "ip", "cidr":
		if _, err := netip.ParseAddr(r.Value); err == nil {
			m["networks"] = []string{r.Value}
			break
		}
		p, err := netip.ParsePrefix(r.Value)
		if err != nil {
			return nil, fmt.Errorf("%q is no network", r.Value)
		}
		m["networks"] = []string{p.Masked().String()}
	case "path":
		m["paths"] = []string{path(r.Value)}
	case "method":
		var methods []string
		for s := range strings.SplitSeq(r.Value, ",") {
			methods = append(methods, strings.ToUpper(strings.TrimSpace(s)))
		}
		m["methods"] = methods
	case "country", "country_is_not":
		if r.Value == "ALL" {
			if r.Match == "country_is_not" {
				return nil, fmt.Errorf("it applies to nobody")
			}
			break
		}
		if len(r.Value) != 2 {
			return nil, fmt.Errorf("%q is no country", r.Value)
		}
		if r.Match == "country_is_not" {
			m["unless"] = map[string]any{"countries": []string{strings.ToUpper(r.Value)}}
		} else {
			m["countries"] = []string{strings.ToUpper(r.Value)}
		}
	case "asn":
		if r.Value == "ALL" {
			break
		}
		n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(r.Value), "AS"), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is no autonomous system", r.Value)
		}
		m["asns"] = []uint64{n}
	case "region":
		in := countries(r.Value)
		if len(in) == 0 {
			return nil, fmt.Errorf("%q is no region of UN M.49", r.Value)
		}
		m["countries"] = in
	default:
		return nil, fmt.Errorf("there is no match by %q", r.Match)
	}
	return m, nil
}

// path makes a pattern of ours: there a segment "*" is any number of segments, and no slash at the beginning is needed.
func path(s string) string {
	segments := strings.Split(strings.Trim(s, "/"), "/")
	for i, seg := range segments {
		if seg == "*" {
			segments[i] = "**"
		}
	}
	return "/" + strings.Join(segments, "/")
}

// countries are those of a region of UN M.49.
func countries(code string) (out []string) {
	region, err := language.ParseRegion(code)
	if err != nil || region.IsCountry() {
		return nil
	}
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			two := string([]rune{a, b})
			r, err := language.ParseRegion(two)
			if err == nil && r.IsCountry() && r.String() == two && region.Contains(r) {
				out = append(out, two)
			}
		}
	}
	return out
}

// auth is what satisfies "authenticate".
func (c *converter) auth(where string, w ways, all *bool) map[string]any {
	out := map[string]any{}
	if w.sso {
		in := map[string]any{"roles": []string{"owner", "admin"}} // whom Pangolin's Admin is
		for _, r := range w.roles {
			in["roles"] = append(in["roles"].([]string), strings.ToLower(r))
		}
		if len(w.users) > 0 {
			in["users"] = w.users
		}
		out["sign_in"] = in
		if len(w.roles)+len(w.users) > 0 {
			c.note(where, Look, "roles and users are not in a blueprint: roles %q, users %q", w.roles, w.users)
		}
	}
	if w.pin != nil {
		pin := fmt.Sprint(w.pin)
		if strings.Trim(pin, "0123456789") != "" || len(pin) < 6 || len(pin) > 12 {
			c.note(where+".pincode", LeftOut, "want 6 to 12 digits; with it all that it guards")
			*all = false
		}
		out["pin"] = map[string]any{"code": pin}
	}
	long := func(field, secret string) {
		if len(secret) < 8 {
			c.note(where+"."+field, LeftOut, "fewer than 8 characters: choose another one; with it all that it guards")
			*all = false
		}
	}
	if w.password != "" {
		long("password", w.password)
		out["password"] = map[string]any{"secret": w.password}
	}
	if w.basic != nil {
		long("basic-auth.password", w.basic.Password)
		out["basic"] = []any{map[string]any{"user": w.basic.User, "password": w.basic.Password}}
	}
	if len(w.mail) > 0 {
		out["mail_code"] = w.mail
	}
	return out
}
