// Command warren is the command line of Warren: it speaks to the REST API, and starts a whole cluster on
// one machine with "warren up".
package main

import (
	"os"

	"github.com/warrenedge/warren/controlplane/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
