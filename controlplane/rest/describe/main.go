// Command describe writes the OpenAPI description of the API to a file, what manifests may say to a second one, and its paths to a
// third.
package main

import (
	"fmt"
	"os"

	"github.com/warrenedge/warren/controlplane/rest"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "describe: want the names of three files")
		os.Exit(2)
	}
	err := write(os.Args[1], rest.Describe)
	if err == nil {
		err = write(os.Args[2], rest.DescribeManifests)
	}
	if err == nil {
		err = write(os.Args[3], rest.DescribePaths)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "describe:", err)
		os.Exit(1)
	}
}

func write(file string, describe func() ([]byte, error)) error {
	b, err := describe()
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}
