// Command describe writes the OpenAPI description of the API to a file.
package main

import (
	"fmt"
	"os"

	"github.com/warrenedge/warren/controlplane/rest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "describe: want the name of a file")
		os.Exit(2)
	}
	b, err := rest.Describe()
	if err == nil {
		err = os.WriteFile(os.Args[1], b, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "describe:", err)
		os.Exit(1)
	}
}
