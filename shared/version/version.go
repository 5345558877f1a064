// Package version says which build of Warren this is.
package version

// Version is set at link time; "unknown" in a build by hand.
var Version = "unknown"
