package oidc

// Rule gives a role to people of whom a provider says something.
type Rule struct {
	Claim string // "groups", or "realm_access.roles" for what is inside; "" is true of everybody
	Value string // one of the claim's values; "*": any
	Org   string // organization; "": the cluster
	Role  string
}

// Matching returns the rules that are true of claims, in their order.
func Matching(rules []Rule, claims map[string]any) (out []Rule) {
	for _, r := range rules {
		if r.Claim == "" || holds(lookup(claims, r.Claim), r.Value) {
			out = append(out, r)
		}
	}
	return out
}

// lookup finds a claim by its name, else by the way to it: names have dots in them, too.
func lookup(claims map[string]any, path string) any {
	if v, ok := claims[path]; ok {
		return v
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			if v := lookup(inner, path[i+1:]); v != nil {
				return v
			}
		}
	}
	return nil
}

func holds(v any, want string) bool {
	switch v := v.(type) {
	case string:
		if want == "*" {
			return v != ""
		}
		return v == want
	case bool:
		return v && (want == "*" || want == "true")
	case []any:
		for _, e := range v {
			if holds(e, want) {
				return true
			}
		}
	}
	return false
}
