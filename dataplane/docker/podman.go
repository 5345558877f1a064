package docker

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
)

// exposed fills in what Podman leaves out of its lists: ports that a container exposes and its machine does not publish. What
// a container exposes is never another, so each is asked about once.
func (e *engine) exposed(ctx context.Context, list []Container) error {
	known := make(map[string][]Port, len(e.ports))
	for i := range list {
		c := &list[i]
		if len(c.Ports) > 0 || !c.addressed() {
			continue
		}
		ports, asked := e.ports[c.ID]
		if !asked {
			var info struct {
				Config struct {
					ExposedPorts map[string]struct{}
				}
			}
			if err := e.ask(ctx, e.path("/containers/"+c.ID+"/json"), nil, &info); err != nil {
				if ctx.Err() != nil {
					return err
				}
				continue // it may be gone: the next list knows
			}
			ports = parseExposed(info.Config.ExposedPorts)
		}
		known[c.ID], c.Ports = ports, ports
	}
	e.ports = known
	return nil
}

// addressed reports whether a container has an address of its own.
func (c *Container) addressed() bool {
	for _, n := range c.Networks {
		if n.IPv4 != "" || n.IPv6 != "" {
			return true
		}
	}
	return false
}

// parseExposed reads ports as "8080/tcp".
func parseExposed(said map[string]struct{}) (out []Port) {
	for s := range said {
		number, protocol, _ := strings.Cut(s, "/")
		if port, err := strconv.ParseUint(number, 10, 16); err == nil && port > 0 {
			out = append(out, Port{Private: int(port), Type: protocol})
		}
	}
	slices.SortFunc(out, func(a, b Port) int { return cmp.Or(cmp.Compare(a.Private, b.Private), strings.Compare(a.Type, b.Type)) })
	return out
}
