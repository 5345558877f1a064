package policy

import (
	"fmt"
	"slices"
)

// Compiled is a Policy that can be asked. It is never modified. What its rules say is in few arrays, however many there are: a
// node may have a million rules.
type Compiled struct {
	id, org, name string
	rules         []rule
	tests         []test // of all rules
	lists         lists  // that tests point into
	otherwise     Action

	signIn      *signIn
	mail        *addresses
	authorities *authorities
	credentials map[string]*Credential   // by id
	links       map[[32]byte]*Credential // by the hash of their secrets
	ways        Way

	http, places, paths bool // whether a rule is about such things
}

// rule is a compiled Rule.
type rule struct {
	match, unless span // of tests; empty if there are none
	action        Action
}

// span is a part of an array.
type span struct{ from, to uint32 }

// Compile makes a policy that can be asked. It keeps no slice of p's rules. Its errors are FieldErrors.
func Compile(p *Policy) (*Compiled, error) {
	c := &Compiled{id: p.ID, org: p.Org, name: p.Name, otherwise: p.Otherwise}
	if len(p.Rules) > maxRules {
		return nil, wrong("rules", "%d, want %d at most", len(p.Rules), maxRules)
	}
	if p.Otherwise > Allow {
		return nil, wrong("otherwise", "want allow, deny or authenticate")
	}
	c.makeRoom(p.Rules)
	for i := range p.Rules {
		if err := c.compileRule(i, &p.Rules[i]); err != nil {
			return nil, err
		}
	}
	if err := c.compileAuth(&p.Auth); err != nil {
		return nil, err
	}
	if c.ways == 0 {
		for i := range c.rules {
			if c.rules[i].action == Authenticate {
				return nil, wrong(fmt.Sprintf("rules[%d].action", i), "the policy has no way to authenticate")
			}
		}
		if c.otherwise == Authenticate {
			return nil, wrong("otherwise", "the policy has no way to authenticate")
		}
	}
	return c, nil
}

func (c *Compiled) compileRule(i int, r *Rule) (err error) {
	out := rule{action: r.Action}
	if r.Action > Allow {
		return wrong(fmt.Sprintf("rules[%d].action", i), "want allow, deny or authenticate")
	}
	if out.match, err = c.compileConditions("", &r.Conditions); err == nil {
		if out.unless, err = c.compileConditions("unless.", &r.Unless); err == nil {
			c.rules = append(c.rules, out)
			c.http = c.http || r.HTTP() || r.Unless.HTTP()
			c.places = c.places || r.Places() || r.Unless.Places()
			c.paths = c.paths || len(r.Paths)+len(r.Unless.Paths) > 0
			return nil
		}
	}
	fe := err.(*FieldError)
	return wrong(fmt.Sprintf("rules[%d].%s", i, fe.Field), "%s", fe.Msg)
}

// ID is the policy's.
func (c *Compiled) ID() string { return c.id }

// Org is the id of the organization whose members may sign in.
func (c *Compiled) Org() string { return c.org }

// Name is what people call it.
func (c *Compiled) Name() string { return c.name }

// Ways are the ways in, of which any one suffices.
func (c *Compiled) Ways() Way { return c.ways }

// HTTP reports whether a rule is about what only an HTTP request has.
func (c *Compiled) HTTP() bool { return c.http }

// Places reports whether Facts have to say where the client is.
func (c *Compiled) Places() bool { return c.places }

// Asks reports whether anybody is asked to authenticate.
func (c *Compiled) Asks() bool {
	return c.otherwise == Authenticate || slices.ContainsFunc(c.rules, func(r rule) bool { return r.action == Authenticate })
}
