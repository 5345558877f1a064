package console

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
)

// A policy as a form: "n" is how many rules there are, "rules[0].paths" a field of the first one, as the API calls it.

// conditions are the fields of what a rule is about.
var conditions = []string{"networks", "paths", "methods", "countries", "asns", "headers", "windows"}

// mostRules is how many rules a form shows; longer policies are written as YAML.
const mostRules = 200

func ruleField(i int, name string) string { return fmt.Sprintf("rules[%d].%s", i, name) }

// ruleCount is how many rules a form has.
func (f Form) ruleCount() int {
	n, _ := strconv.Atoi(f.Get("n"))
	return max(0, min(n, mostRules))
}

// policyForm is what is written of a policy, as it is typed.
func policyForm(s admin.PolicySpec) Form {
	f := Form{Values: url.Values{}}
	f.Set("otherwise", s.Otherwise)
	f.Set("n", strconv.Itoa(len(s.Rules)))
	for i, r := range s.Rules {
		f.Set(ruleField(i, "action"), r.Action)
		f.setConditions(ruleField(i, ""), r.PolicyConditions)
		if r.Unless != nil {
			f.setConditions(ruleField(i, "unless."), *r.Unless)
		}
	}
	if a := s.Auth; a != nil {
		f.setAuth(*a)
	}
	for name, v := range f.Values {
		if v[0] == "" {
			delete(f.Values, name)
		}
	}
	return f
}

func (f Form) setConditions(at string, c admin.PolicyConditions) {
	f.Set(at+"networks", strings.Join(c.Networks, "\n"))
	f.Set(at+"paths", strings.Join(c.Paths, "\n"))
	f.Set(at+"methods", strings.Join(c.Methods, " "))
	f.Set(at+"countries", strings.Join(c.Countries, " "))
	var asns, headers, windows []string
	for _, n := range c.ASNs {
		asns = append(asns, strconv.FormatInt(n, 10))
	}
	for _, h := range c.Headers {
		if len(h.Values) == 0 {
			headers = append(headers, h.Name)
		}
		for _, v := range h.Values {
			headers = append(headers, h.Name+": "+v)
		}
	}
	for _, w := range c.Windows {
		windows = append(windows, strings.TrimSpace(strings.Join(w.Days, ",")+" "+w.From+"-"+w.To+" "+w.Zone))
	}
	f.Set(at+"asns", strings.Join(asns, " "))
	f.Set(at+"headers", strings.Join(headers, "\n"))
	f.Set(at+"windows", strings.Join(windows, "\n"))
}

func (f Form) setAuth(a admin.PolicyAuth) {
	if in := a.SignIn; in != nil {
		f.tick("auth.sign_in.members", in.Members)
		f.Set("auth.sign_in.users", strings.Join(in.Users, "\n"))
		f.Set("auth.sign_in.roles", strings.Join(in.Roles, "\n"))
		f.Set("auth.sign_in.groups", strings.Join(in.Groups, "\n"))
	}
	f.Set("auth.mail_code", strings.Join(a.MailCode, "\n"))
	f.tick("pin", a.PIN != nil)
	f.tick("password", a.Password != nil)
	var users []string
	for _, b := range a.Basic {
		users = append(users, b.User)
	}
	f.Set("auth.basic", strings.Join(users, "\n"))
	if c := a.ClientCertificate; c != nil {
		f.Set("auth.client_certificate.authorities_pem", c.AuthoritiesPEM)
		f.Set("auth.client_certificate.names", strings.Join(c.Names, "\n"))
	}
}

func (f Form) tick(name string, on bool) {
	if on {
		f.Set(name, "on")
	}
}

// policySpec is what was typed of a policy.
func policySpec(f Form) (s admin.PolicySpec, err error) {
	s.Otherwise = f.Get("otherwise")
	for i := range f.ruleCount() {
		r := admin.PolicyRule{Action: f.Get(ruleField(i, "action"))}
		if r.PolicyConditions, err = f.conditions(ruleField(i, "")); err != nil {
			return s, err
		}
		unless, err := f.conditions(ruleField(i, "unless."))
		if err != nil {
			return s, err
		}
		if f.some(ruleField(i, "unless.")) {
			r.Unless = &unless
		}
		s.Rules = append(s.Rules, r)
	}
	s.Auth = f.auth()
	return s, nil
}

// some reports whether any condition was typed.
func (f Form) some(at string) bool {
	return slices.ContainsFunc(conditions, func(name string) bool { return f.Get(at+name) != "" })
}

func (f Form) conditions(at string) (c admin.PolicyConditions, err error) {
	c.Networks, c.Paths, c.Methods, c.Countries = f.lines(at+"networks"), f.rows(at+"paths"), f.lines(at+"methods"), f.lines(at+"countries")
	for i, text := range f.lines(at + "asns") {
		n, err := strconv.ParseInt(strings.TrimPrefix(strings.ToUpper(text), "AS"), 10, 64)
		if err != nil {
			return c, fault.Field(fmt.Sprintf("%sasns[%d]", at, i), "%q is no number of an autonomous system", text)
		}
		c.ASNs = append(c.ASNs, n)
	}
	for _, line := range f.rows(at + "headers") {
		name, value, valued := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		j := slices.IndexFunc(c.Headers, func(h admin.PolicyHeader) bool { return strings.EqualFold(h.Name, name) })
		if j < 0 {
			j, c.Headers = len(c.Headers), append(c.Headers, admin.PolicyHeader{Name: name})
		}
		if valued {
			c.Headers[j].Values = append(c.Headers[j].Values, value)
		}
	}
	for i, line := range f.rows(at + "windows") {
		w, ok := window(line)
		if !ok {
			return c, fault.Field(fmt.Sprintf("%swindows[%d]", at, i), "%q, want one such as mon,fri 08:00-17:00 Europe/Zurich", line)
		}
		c.Windows = append(c.Windows, w)
	}
	return c, nil
}

// window reads a part of the week.
func window(line string) (w admin.PolicyWindow, ok bool) {
	parts := strings.Fields(line)
	if len(parts) == 3 {
		w.Days, parts = strings.Split(strings.ToLower(parts[0]), ","), parts[1:]
	}
	if len(parts) != 2 {
		return w, false
	}
	w.Zone = parts[1]
	w.From, w.To, ok = strings.Cut(parts[0], "-")
	return w, ok
}

// rows are the lines of a field that are not empty.
func (f Form) rows(name string) (out []string) {
	for line := range strings.SplitSeq(f.Get(name), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// auth are the ways in that were typed, nil if there are none.
func (f Form) auth() *admin.PolicyAuth {
	a, some := &admin.PolicyAuth{MailCode: f.lines("auth.mail_code")}, false
	in := admin.PolicySignIn{
		Members: f.Get("auth.sign_in.members") == "on", Users: f.lines("auth.sign_in.users"), Roles: f.lines("auth.sign_in.roles"), Groups: f.lines("auth.sign_in.groups"),
	}
	if in.Members || len(in.Users)+len(in.Roles)+len(in.Groups) > 0 {
		a.SignIn, some = &in, true
	}
	if f.Get("pin") == "on" {
		a.PIN, some = &admin.PolicyPIN{Code: f.Get("auth.pin.code")}, true
	}
	if f.Get("password") == "on" {
		a.Password, some = &admin.PolicyPassword{Secret: f.Get("auth.password.secret")}, true
	}
	for _, line := range f.rows("auth.basic") {
		user, password, _ := strings.Cut(line, " ")
		a.Basic = append(a.Basic, admin.PolicyBasic{User: user, Password: strings.TrimSpace(password)})
	}
	if pem := f.Get("auth.client_certificate.authorities_pem"); pem != "" {
		a.ClientCertificate, some = &admin.PolicyCertificate{AuthoritiesPEM: pem + "\n", Names: f.lines("auth.client_certificate.names")}, true
	}
	if !some && len(a.MailCode)+len(a.Basic) == 0 {
		return nil
	}
	return a
}

// arrange does what a button of a form asks for: "add", "remove 2", "up 2", "down 2". It is false if none does.
func (f Form) arrange() bool {
	verb, arg, _ := strings.Cut(f.Get("do"), " ")
	n := f.ruleCount()
	i, err := strconv.Atoi(arg)
	there := err == nil && i >= 0 && i < n
	switch {
	case verb == "add" && n < mostRules:
		f.Set("n", strconv.Itoa(n+1))
		f.Set(ruleField(n, "action"), "allow")
	case verb == "remove" && there:
		for j := i; j < n-1; j++ {
			f.swap(j, j+1)
		}
		f.clear(n - 1)
		f.Set("n", strconv.Itoa(n-1))
	case verb == "up" && there && i > 0:
		f.swap(i, i-1)
	case verb == "down" && there && i < n-1:
		f.swap(i, i+1)
	case verb == "":
		return false
	}
	return true
}

// fields are those of a rule.
func ruleFields(i int) []string {
	out := []string{ruleField(i, "action")}
	for _, name := range conditions {
		out = append(out, ruleField(i, name), ruleField(i, "unless."+name))
	}
	return out
}

func (f Form) swap(i, j int) {
	a, b := ruleFields(i), ruleFields(j)
	for k := range a {
		f.Values[a[k]], f.Values[b[k]] = f.Values[b[k]], f.Values[a[k]]
	}
}

func (f Form) clear(i int) {
	for _, name := range ruleFields(i) {
		f.Del(name)
	}
}
